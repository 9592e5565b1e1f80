"""The recorder of slots, by which tests judge rates: it tells those that counters granted and have not taken back."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from app.clients import counter_scripts
from app.limiter.policy import Charge, Policy, Slots, TurnRequest
from app.limiter.redis_limiter import RedisLimiter
from app.settings import Settings
from tests.support.granted_slots import GrantedSlots, recorded

HORIZON_US = 50_000
RARE = Policy(1, 3600.0, 1, 1)


@dataclass(frozen=True)
class Recorded:
    limiter: RedisLimiter
    slots: GrantedSlots

    async def acquire(self, *charges: Charge) -> Slots:
        return await self.limiter.acquire(charges, 1, HORIZON_US, 0, "", 0, 0)


@pytest.fixture
async def counters(settings: Settings) -> AsyncIterator[Recorded]:
    async with recorded(settings.cache_redis_url) as slots:
        scripts = counter_scripts(settings.model_copy(update={"cache_redis_url": slots.url}), 5000)
        yield Recorded(RedisLimiter(scripts), slots)
        await scripts.aclose()


async def test_a_slot_that_was_taken_back_is_forgotten(counters: Recorded) -> None:
    charge = Charge("counter:{r|user:u}", RARE)
    granted = await counters.acquire(charge)
    assert counters.slots.of("user:u") == [(granted.given_us + granted.waits_us[0]) / 1e6]
    assert await counters.limiter.give_back([charge], granted)
    assert counters.slots.of("user:u") == []
    assert (await counters.acquire(charge)).waits_us
    assert len(counters.slots.of("user:u")) == 1


async def test_so_is_one_that_was_granted_to_a_turn(counters: Recorded) -> None:
    charge = Charge("counter:{r|user:u}", RARE)
    [granted] = await counters.limiter.acquire_turns([TurnRequest([charge], 1, "", 0)], 1, HORIZON_US, 0, 0)
    assert len(counters.slots.of("user:u")) == 1
    assert await counters.limiter.give_back([charge], granted)
    assert counters.slots.of("user:u") == []


async def test_a_slot_that_one_counter_kept_was_granted(counters: Recorded) -> None:
    """The first counter has granted another slot since, which this one paced."""
    shared, own = Charge("counter:{r|user:u}", Policy(50, 100.0, 1, 1)), Charge("counter:{s|user:v}", RARE)
    granted = await counters.acquire(shared, own)
    later = await counters.limiter.acquire([shared], 1, 10_000_000, 0, "", 0, 0)
    assert len(later.waits_us) == 1
    assert await counters.limiter.give_back([shared, own], granted)
    assert len(counters.slots.of("user:u")) == 2
