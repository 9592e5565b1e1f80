"""Corrections of counters while these are slow, away, or answer without being heard."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from app.clients import counter_scripts
from app.limiter import corrections
from app.limiter.corrections import Corrections, corrections_dropped
from app.limiter.keys import live_counter
from app.limiter.policy import Charge, Policy
from app.limiter.redis_limiter import RedisLimiter
from app.redis_wire.scripts import Scripts
from app.settings import Settings
from tests.support.fault_proxy import Cut, Fault, FaultProxy, proxied
from tests.support.waiting import eventually

DROPPED = "penstock_corrections_dropped_total"


def charge(user: str = "u", cost: int = 20, revision: int = 1) -> Charge:
    return Charge(live_counter("r", f"user:{user}"), Policy(100, 360_000.0, 100, revision), cost)


class Counters:
    """Corrections over a proxy, and a limiter that reaches the counters whatever the proxy does."""

    def __init__(self, proxy: FaultProxy, over_proxy: Scripts, direct: Scripts) -> None:
        self.proxy = proxy
        self.registry = CollectorRegistry()
        self.corrections = Corrections(over_proxy, corrections_dropped(self.registry))
        self.limiter = RedisLimiter(direct)

    async def left(self, user: str = "u") -> int:
        return (await self.limiter.inspect([charge(user)])).states[0].remaining

    @property
    def dropped(self) -> float:
        return self.registry.get_sample_value(DROPPED) or 0.0

    async def are(self, left: int) -> None:
        async def corrected() -> bool:
            return await self.left() == left

        await eventually(corrected, 30, f"{left} are left")


@pytest.fixture
async def counters(settings: Settings, cache: Redis) -> AsyncIterator[Counters]:
    async with proxied(settings.cache_redis_url) as (url, proxy):
        over_proxy = counter_scripts(settings.model_copy(update={"cache_redis_url": url}), 1000)
        direct = counter_scripts(settings, 5000)
        try:
            yield Counters(proxy, over_proxy, direct)
        finally:
            await over_proxy.aclose()
            await direct.aclose()


async def test_a_correction_whose_reply_is_lost_is_applied_once(counters: Counters) -> None:
    assert (await counters.limiter.decide((charge(),))).allowed
    counters.corrections.add(charge(), 1)
    await counters.are(79)
    counters.proxy.cut = Cut(b"corrections:{", every=1)
    counters.corrections.add(charge(), 5)

    async def reply_was_lost() -> bool:
        return counters.proxy.cut is not None and counters.proxy.cut.done >= 2

    await eventually(reply_was_lost, 30, "the batch was sent twice, and both replies were lost")
    counters.proxy.cut = None
    await counters.corrections.aclose()
    assert (await counters.left(), counters.dropped) == (74, 0)


async def test_a_correction_waits_a_little_for_counters_that_are_away(counters: Counters) -> None:
    await counters.proxy.set(Fault.REFUSE)
    counters.corrections.add(charge(), 30)
    await asyncio.sleep(0.3)
    counters.corrections.add(charge(), 1)
    await counters.proxy.set(Fault.NONE)
    await counters.are(69)
    assert counters.dropped == 0


async def test_what_cannot_be_sent_for_long_is_dropped_and_counted(
    counters: Counters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corrections, "TRY_FOR_S", 0.3)
    await counters.proxy.set(Fault.REFUSE)
    for user in ("u", "v", "u"):
        counters.corrections.add(charge(user), 30)

    async def dropped() -> bool:
        return counters.dropped == 2

    await eventually(dropped, 30, "both counters' corrections are dropped")
    await counters.proxy.set(Fault.NONE)

    async def goes_on() -> bool:
        counters.corrections.add(charge(), 1)
        await asyncio.sleep(0.05)
        return await counters.left() < 100

    await eventually(goes_on, 30, "later corrections are sent")
    assert await counters.left("v") == 100


async def test_what_waits_is_bounded(counters: Counters, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corrections, "MAX_WAITING", 10)
    monkeypatch.setattr(corrections, "TRY_FOR_S", 0.0)
    await counters.proxy.set(Fault.REFUSE)
    for number in range(25):
        counters.corrections.add(charge(f"u{number}"), 1)
        counters.corrections.add(charge("u3"), 1)
    assert counters.dropped == 15
    await counters.corrections.aclose()


async def test_corrections_of_many_counters_are_all_applied(counters: Counters) -> None:
    users = [f"u{number}" for number in range(250)]
    for user in users:
        counters.corrections.add(charge(user), 7)
        counters.corrections.add(charge(user), -4)
    await counters.corrections.aclose()
    assert [await counters.left(user) for user in users] == [97] * 250


async def test_a_correction_by_an_older_rule_is_judged_by_the_newer(counters: Counters) -> None:
    assert (await counters.limiter.decide((charge(revision=3),))).allowed
    for revision in (1, 2):
        counters.corrections.add(charge(revision=revision), 5)
    await counters.corrections.aclose()
    assert await counters.left() == 70
