"""The cache Redis down, slow, hung, killed and restarted empty, under traffic: each rule's fallback, never a 500."""

import asyncio
import signal
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import cast

import pytest
from redis.asyncio import Redis

from app.edge import heartbeat
from app.local.stores import cache_store, redis_is_ready
from app.settings import Settings
from tests.support.ports import free_port
from tests.support.stores import started
from tests.support.system import System, running
from tests.support.waiting import eventually

EDGES = 2
LIMIT = 40
USERS = {"open": "on_open", "closed": "on_closed", "local": "on_local"}


async def traffic(system: System, user: str, requests: int) -> tuple[Counter[int], list[float]]:
    """Over new connections, so that every edge is reached; the statuses and how long each answer took."""
    statuses: Counter[int] = Counter()
    took = []
    for _ in range(requests):
        start = time.monotonic()
        answer = await system.request("GET", "/", user, headers={"Connection": "close"})
        took.append(time.monotonic() - start)
        statuses[answer.status] += 1
        if answer.status not in {200, 429}:
            print(user, answer.status, answer.body.decode())
    return statuses, took


@pytest.mark.alone
@pytest.mark.parametrize("fault", ["hung", "killed"])
async def test_each_rule_says_what_happens_without_counters(settings: Settings, tmp_path: Path, fault: str) -> None:
    store = cache_store(tmp_path / "cache", free_port())
    settings = settings.model_copy(update={"cache_redis_url": store.url})
    with started(store, tmp_path / "redis.log") as redis:
        await redis_is_ready(store.url)
        async with running(settings, tmp_path, edges=EDGES, workers=0, PENSTOCK_COUNTERS_TIMEOUT_MS="25") as system:
            for form, user in USERS.items():
                await system.put_rule(
                    form, key_type="user", key_value=user, limit=LIMIT, window_seconds=3600, on_store_failure=form
                )
            for form, user in USERS.items():
                await system.rule_is_known(form, user)
            await edges_are_counted(settings)
            redis.send_signal(signal.SIGSTOP if fault == "hung" else signal.SIGKILL)

            unlimited, took_open = await traffic(system, USERS["open"], 100)
            assert unlimited == {200: 100}
            refused, took_closed = await traffic(system, USERS["closed"], 20)
            assert refused == {503: 20}
            shared, took_local = await traffic(system, USERS["local"], 150)
            assert set(shared) == {200, 429}
            assert 1 <= shared[200] <= LIMIT, "each edge its share: together never more than the limit"
            took = sorted(took_open + took_closed + took_local)
            print(f"{fault}: p50 {statistics.median(took) * 1000:.1f} ms, worst {took[-1] * 1000:.0f} ms")
            assert statistics.median(took) < 0.05, "told at once while the breaker is open"
            assert took[-1] < 1.0
            unknown = await system.request("GET", "/", "nobody_knows")
            assert unknown.status == 503, "rules that were never read are not no rules"

            if fault == "hung":
                redis.send_signal(signal.SIGCONT)
                await until_counted(system)


async def test_killed_and_restarted_empty_under_load(settings: Settings, tmp_path: Path) -> None:
    store = cache_store(tmp_path / "cache", free_port())
    settings = settings.model_copy(update={"cache_redis_url": store.url})
    statuses: Counter[int] = Counter()
    done = asyncio.Event()
    with started(store, tmp_path / "redis.log") as first:
        await redis_is_ready(store.url)
        async with running(settings, tmp_path, edges=EDGES, workers=1) as system:
            await system.put_rule("r", key_type="user", key_value="u", limit=LIMIT, window_seconds=3600)
            await system.rule_is_known("r", "u")
            await edges_are_counted(settings)

            async def load() -> None:
                while not done.is_set():
                    statuses.update((await traffic(system, "u", 1))[0])

            loading = asyncio.create_task(load())
            await eventually(lambda: statuses[429] > 0, 30, "the limit is reached")
            assert statuses[200] == LIMIT
            first.kill()
            first.wait()
            await asyncio.sleep(1)
            with started(store, tmp_path / "redis-again.log"):
                await redis_is_ready(store.url)
                back_at = time.monotonic()
                await until_counted(system, "u", "r")
                print(f"counted again after {time.monotonic() - back_at:.1f} s")

                async def spent() -> bool:
                    limits = (await system.request("GET", "/_penstock/limits", "u")).json()["limits"]
                    return int(limits[0]["remaining"]) == 0

                await eventually(spent, 60, "the extra burst is spent")
                refused = statuses[429]
                await eventually(lambda: statuses[429] > refused + 1, 30, "what was under way has been answered")
                before = Counter(statuses)
                await asyncio.sleep(1)
                done.set()
                await loading
                assert set(statuses) <= {200, 429, 503}, "never an unplanned 500"
                assert statuses[200] <= 3 * LIMIT, "the burst, the local share, and one extra burst"
                assert (statuses - before)[200] == 0, "the limit holds"

                async def serves_another() -> bool:
                    return (await system.request("GET", "/", "another")).status == 200

                await eventually(serves_another, 30, "the rules are there again, for who was not known before, too")
                print(f"rules again after at most {time.monotonic() - back_at:.1f} s")


async def edges_are_counted(settings: Settings) -> None:
    """Wait until each edge has seen as many heartbeats as there are edges."""
    async with Redis.from_url(settings.cache_redis_url) as redis:

        async def beats() -> list[float]:
            found = cast("list[tuple[bytes, float]]", await redis.zrange(heartbeat.KEY, 0, -1, withscores=True))
            return [at for _, at in found]

        async def all_beat() -> bool:
            return len(await beats()) == EDGES

        await eventually(all_beat, 30, "each edge has sent a heartbeat")
        since = max(await beats())

        async def all_beat_again() -> bool:
            return min(await beats()) > since

        await eventually(all_beat_again, 30, "each edge has sent another, and has seen those of all")


async def until_counted(system: System, user: str = USERS["closed"], rule_id: str = "closed") -> None:
    """Every edge asks the counters again: within 5 s of their return, as guarantee 5 says of rules."""

    async def counted() -> bool:
        async for answer in system.of_every_edge(user):
            if answer.status != 200 or not answer.names(rule_id):
                return False
        return True

    assert await eventually(counted, 30, "the counters answer again") < 10
