"""Slots for flows that take turns: round after round, each in its order, for as long as the counter has any."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from app.clients import counter_scripts
from app.limiter.keys import live_counter
from app.limiter.policy import Charge, Policy, TurnRequest
from app.limiter.redis_limiter import RedisLimiter
from app.settings import Settings

HORIZON_US = 50_000
SHARED = Policy(100, 1.0, 1, 1)  # a slot every 10 ms: six within the horizon
OWN = Policy(1000, 1_000_000.0, 1000, 1)


@pytest.fixture
async def limiter(settings: Settings) -> AsyncIterator[RedisLimiter]:
    scripts = counter_scripts(settings, 5000)
    yield RedisLimiter(scripts)
    await scripts.aclose()


def turn(user: str, n: int = 1, shared: Policy = SHARED, own: Policy = OWN, *, cost: int = 1) -> TurnRequest:
    charges = (
        Charge(live_counter("shared", "ip:0.0.0.0"), shared, cost),
        Charge(live_counter("own", f"user:{user}"), own, cost),
    )
    return TurnRequest(charges, n, f"backlog:{user}", 60.0)


async def acquire(limiter: RedisLimiter, *turns: TurnRequest, most: int = 100) -> list[tuple[int, ...]]:
    answers = await limiter.acquire_turns(turns, most, HORIZON_US, 0, 7)
    return [answer.waits_us for answer in answers]


async def test_every_round_gives_each_flow_one_slot(limiter: RedisLimiter) -> None:
    slots = await acquire(limiter, turn("a", 9), turn("b", 9), turn("c", 9))
    assert slots == [(0, 30_000), (10_000, 40_000), (20_000, 50_000)]


async def test_a_flow_gets_no_more_than_it_asks_for(limiter: RedisLimiter) -> None:
    assert await acquire(limiter, turn("a", 1), turn("b", 3)) == [(0,), (10_000, 20_000, 30_000)]


async def test_all_together_get_no_more_than_the_most(limiter: RedisLimiter) -> None:
    assert await acquire(limiter, turn("a", 2), turn("b", 2), turn("c", 2), most=2) == [(0,), (10_000,)]


async def test_who_did_not_come_up_costs_nothing(limiter: RedisLimiter, cache: Redis) -> None:
    names = [str(number) for number in range(50)]
    slots = await acquire(limiter, *(turn(name) for name in names))
    assert slots == [(10_000 * number,) for number in range(6)]
    assert await cache.exists(*(live_counter("own", f"user:{name}") for name in names)) == 6
    assert await cache.exists(*(f"backlog:{name}" for name in names)) == 6
    assert await cache.get("backlog:0") == b"60000 7"


async def test_a_flow_that_another_counter_holds_back_is_passed_and_waits_for_that(limiter: RedisLimiter) -> None:
    hourly = Policy(1, 3600.0, 1, 1)
    await acquire(limiter, turn("a", own=hourly))
    answers = await limiter.acquire_turns((turn("a", own=hourly), turn("b")), 100, HORIZON_US, 0, 7)
    assert [len(answer.waits_us) for answer in answers] == [0, 1]
    shared_us, own_us = answers[0].quota_waits_us
    assert shared_us < HORIZON_US
    assert own_us > 3_500_000_000


async def test_a_round_charges_what_each_costs(limiter: RedisLimiter) -> None:
    quick = Policy(100, 1.0, 5, 1)
    slots = await acquire(limiter, turn("a", 1, quick, cost=5), turn("b", 1, quick), turn("c", 1, quick, cost=2))
    assert slots == [(0,), (10_000,), (30_000,)]


async def test_a_counter_without_a_slot_is_still_answered_for(limiter: RedisLimiter) -> None:
    slow = Policy(1, 3600.0, 1, 1)
    assert await acquire(limiter, turn("a", shared=slow)) == [(0,)]
    [answer] = await limiter.acquire_turns((turn("a", shared=slow), turn("b", shared=slow)), 9, HORIZON_US, 0, 7)
    assert answer.waits_us == ()
    assert answer.next_wait_us > 3_500_000_000


@pytest.mark.parametrize("algorithm", ["gcra", "sliding_window"])
async def test_the_counter_is_shared_with_whoever_asks_alone(limiter: RedisLimiter, algorithm: str) -> None:
    policy = Policy(3, 3600.0, 3, 1, algorithm)
    assert [len(slots) for slots in await acquire(limiter, turn("a", 2, policy))] == [2]
    verdict = await limiter.decide((Charge(live_counter("shared", "ip:0.0.0.0"), policy),))
    assert verdict.allowed
    assert [len(slots) for slots in await acquire(limiter, turn("b", 2, policy))] == [0]
