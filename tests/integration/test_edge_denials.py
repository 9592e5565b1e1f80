"""An edge that knows who is over a limit: it says so without a round trip, truly, and lets go when the rule does."""

import asyncio
import re
import time
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from app.edge import denial_cache
from app.settings import Settings
from tests.support.edge_in_process import EVERY_ADDRESS, EVERY_USER, Edge, Said, edge_running, in_force
from tests.support.waiting import eventually

FROM_MEMORY = "penstock_denied_from_memory_total"


@pytest.fixture
async def edge(settings: Settings, cache: Redis) -> AsyncIterator[Edge]:
    # 25 ms are too few for a test that shares its process and its cores with everything.
    async with edge_running(settings, cache) as running:
        yield running


def without_times(said: Said) -> tuple[int, object, dict[str, str]]:
    kept = {name: value for name, value in said.headers.items() if name not in {"date", "retry-after", "ratelimit"}}
    return said.status, said.json(), kept | {"ratelimit": re.sub(r"t=\d+", "t=", said.headers["ratelimit"])}


async def scripts_run(cache: Redis) -> int:
    stats = await cache.info("commandstats")
    return int(stats.get("cmdstat_evalsha", {"calls": 0})["calls"])


async def test_it_says_what_the_counters_said_and_asks_them_no_more(
    edge: Edge, cache: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(denial_cache, "MAX_AGE_S", 60.0)
    who = edge.bearer("u")
    await edge.rule("mine", **EVERY_USER, limit=2, window_seconds=7200)
    await edge.rule("ours", **EVERY_ADDRESS, limit=100, window_seconds=3600)
    await in_force(edge, "mine", who)
    await in_force(edge, "ours", who)
    assert [(await edge.get("/", who)).status for _ in range(2)] == [200, 200]
    told = await edge.get("/", who)
    asked = await scripts_run(cache)
    again = [await edge.get("/", who) for _ in range(20)]
    assert await scripts_run(cache) == asked
    assert edge.counted(FROM_MEMORY) == 20
    assert told.headers["ratelimit"].startswith('"mine";r=0;t=')
    assert '"ours";r=98' in told.headers["ratelimit"]
    for one in again:
        assert without_times(one) == without_times(told)
        assert 0 <= int(told.headers["retry-after"]) - int(one.headers["retry-after"]) <= 60
        assert f"t={one.headers['retry-after']}" in one.headers["ratelimit"]
    assert (await edge.get("/", edge.bearer("another"))).status == 200


async def test_retry_after_is_true_when_obeyed(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(denial_cache, "MAX_AGE_S", 3600.0)  # so that nothing but the end of the wait can free
    await edge.rule("one", **EVERY_ADDRESS, limit=1, window_seconds=4)
    await in_force(edge, "one")
    for _ in range(2):
        assert (await edge.get("/")).status == 200
        assert (await edge.get("/")).status == 429
        await asyncio.sleep(0.3)
        from_memory = await edge.get("/")
        assert from_memory.status == 429
        await asyncio.sleep(int(from_memory.headers["retry-after"]))
    assert edge.counted(FROM_MEMORY) >= 2
    assert (await edge.get("/")).status == 200


async def test_a_raised_rule_lets_go_at_once(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(denial_cache, "MAX_AGE_S", 3600.0)  # so that nothing but the change can free
    await edge.rule("one", **EVERY_ADDRESS, limit=1, window_seconds=7200)
    await in_force(edge, "one")
    assert [(await edge.get("/")).status for _ in range(10)] == [200] + 9 * [429]
    assert edge.counted(FROM_MEMORY) >= 8
    changed_at = time.monotonic()
    await edge.rule("one", **EVERY_ADDRESS, limit=1000, window_seconds=7200)

    async def let_in() -> bool:
        return (await edge.get("/")).status == 200

    await eventually(let_in, 30, "the raised rule lets its caller in")
    print(f"let in {time.monotonic() - changed_at:.3f} s after the change")


async def test_all_rules_read_again_let_go_too(edge: Edge, cache: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message was missed: the version alone says so."""
    monkeypatch.setattr(denial_cache, "MAX_AGE_S", 3600.0)
    await edge.rule("one", **EVERY_ADDRESS, limit=1, window_seconds=7200)
    await in_force(edge, "one")
    assert [(await edge.get("/")).status for _ in range(3)] == [200, 429, 429]
    await cache.delete(*[key async for key in cache.scan_iter(match="counter:*")])
    assert (await edge.get("/")).status == 429, "still known"
    await cache.incrby("rules:version", 5)

    async def let_in() -> bool:
        return (await edge.get("/")).status == 200

    await eventually(let_in, 30, "what is read again is results again")


async def test_a_deferring_rule_is_never_refused_from_memory(edge: Edge) -> None:
    await edge.rule("one", **EVERY_ADDRESS, limit=1, window_seconds=60, on_limit="defer")
    await in_force(edge, "one")
    assert [(await edge.get("/")).status for _ in range(4)] == [200, 202, 202, 202]
    assert edge.counted(FROM_MEMORY) == 0


async def test_a_shadow_beside_is_counted_each_time(edge: Edge) -> None:
    who = edge.bearer("u")
    await edge.rule("shadow", **EVERY_USER, limit=1, window_seconds=3600, shadow=True)
    await edge.rule("one", **EVERY_ADDRESS, limit=1, window_seconds=3600)
    await in_force(edge, "one", who)
    assert [(await edge.get("/", who)).status for _ in range(4)] == [200, 429, 429, 429]
    assert edge.counted("penstock_shadow_refusals_total", rule_id="shadow") == 3
    assert edge.counted(FROM_MEMORY) == 0
