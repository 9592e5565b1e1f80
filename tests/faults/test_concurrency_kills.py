"""`concurrency` over many processes: live and drained together, while edges and workers are killed."""

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from redis.asyncio import Redis

from app.limiter.policy import LEASE_S
from app.settings import Settings
from tests.support.bounds import assert_arrived_in_order
from tests.support.system import System, running
from tests.support.waiting import eventually

EDGES, WORKERS, MOST = 4, 4, 5
LONGEST_MS = 400
SHARED: dict[str, Any] = {"key_type": "ip", "key_value": "127.0.0.0/8", "concurrency": MOST, "on_limit": "defer"}
PLACES = "counter:{shared|ip:127.0.0.0/8}:places"
USERS = ("a", "b", "c")


def spans(system: System) -> list[tuple[float, float]]:
    """From when to when each request was at the app server, as it wrote down itself."""
    came, ended = {}, {}
    for line in system.arrivals_ledger.read_text().splitlines():
        fields = json.loads(line)
        if "answered" in fields:
            ended[fields["key"]] = fields["answered"]
        else:
            came[fields["key"]] = fields["at"]
    return [(at, ended[key]) for key, at in came.items() if key in ended]


def most_at_once(of: list[tuple[float, float]]) -> int:
    changes = sorted([(at, 1) for at, _ in of] + [(until, -1) for _, until in of])
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


async def all_places_are_free(settings: Settings, counter: str = PLACES) -> None:
    async with Redis.from_url(settings.cache_redis_url) as cache:

        async def free() -> bool:
            now = (await cache.time())[0]
            return int(await cache.zcount(counter, f"({now * 1_000_000}", "+inf")) == 0

        await eventually(free, LEASE_S + 10, "no place is taken any more")


async def test_there_are_never_more_in_flight_and_nothing_leaks(settings: Settings, tmp_path: Path) -> None:
    rng = random.Random(7)
    async with running(settings, tmp_path, edges=EDGES, workers=WORKERS, PENSTOCK_LEASE_S="2") as system:
        await system.put_rule("shared", **SHARED, queue={"overtaking": True})
        await system.rule_is_known("shared", "a")
        accepted: dict[str, list[str]] = {user: [] for user in USERS}
        stop = asyncio.Event()

        async def client(user: str) -> None:
            number = 0
            while not stop.is_set():
                number += 1
                await asyncio.sleep(0.2)
                target = f"/{user}/{number}?delay_ms={rng.randint(20, LONGEST_MS)}"
                try:
                    answer = await system.request("POST", target, user, headers={"Connection": "close"})
                except aiohttp.ClientError:  # its edge was killed
                    continue
                if answer.status == 202:
                    accepted[user].append(answer.json()["id"])
                else:
                    assert answer.status == 200, answer

        clients = [asyncio.create_task(client(user)) for user in USERS for _ in range(3)]
        for role in ("edge", "worker", "edge", "worker"):
            await asyncio.sleep(1)
            victim = next(part for part in system.parts if part.role == role and part.process.poll() is None)
            victim.kill()
            victim.process.wait()
            await system.ready(system.edge() if role == "edge" else system.worker())
        await asyncio.sleep(1)
        stop.set()
        await asyncio.gather(*clients)
        for user, jobs in accepted.items():
            for job in jobs:
                assert (await system.ended(job, user, 120))["status"] == "succeeded"
        of = spans(system)
        print(f"{len(of)} requests, {sum(map(len, accepted.values()))} of them deferred, {most_at_once(of)} at once")
        assert all(len(jobs) > 5 for jobs in accepted.values())
        assert most_at_once(of) == MOST
        await all_places_are_free(settings)


@pytest.mark.alone
async def test_a_flow_goes_on_as_soon_as_a_place_is_free(settings: Settings, tmp_path: Path) -> None:
    async with running(settings, tmp_path, workers=2) as system:
        await system.put_rule("one", key_type="user", key_value="*", concurrency=1, on_limit="defer")
        await system.rule_is_known("one", "u")
        waits = []

        async def is_free() -> bool:
            [limit] = (await system.request("GET", "/_penstock/limits", "u")).json()["limits"]
            return (limit["remaining"], limit["backlog"]) == (1, False)

        for number in range(8):
            await eventually(is_free, 30, "the place is free, and nobody waits for it")
            live = asyncio.create_task(system.request("GET", f"/live/{number}?hold={number}", "u"))
            await system.arrived(2 * number + 1)
            deferred = await system.request("GET", f"/deferred/{number}", "u")
            assert deferred.status == 202
            await asyncio.sleep(0.4)  # so that a worker has found that there is no place
            await system.release(str(number))
            assert (await live).status == 200
            await system.ended(deferred.json()["id"], "u")
            (_, free_at), (came_at, _) = spans(system)[-2:]
            waits.append(came_at - free_at)
        print("free for", [f"{wait * 1000:.0f} ms" for wait in sorted(waits)])
        assert all(wait >= 0 for wait in waits), "not before the place was free"
        assert sorted(waits)[len(waits) // 2] < 0.1
        await all_places_are_free(settings, "counter:{one|user:u}:places")


async def test_those_that_are_drained_can_be_fewer_than_all(settings: Settings, tmp_path: Path) -> None:
    """Of five in flight two at most are drained, however fast the drain rate is, and their order is kept."""
    rule = {
        "key_type": "user",
        "key_value": "*",
        "limit": 1,
        "window_seconds": 3600,
        "on_limit": "defer",
        "drain": {"limit": 1000, "window_seconds": 1, "burst": 10, "concurrency": 2},
        "concurrency": 5,
    }
    async with running(settings, tmp_path, workers=2) as system:
        await system.put_rule("r", **rule, paused=True)
        await system.rule_is_known("r", "u")
        assert (await system.request("POST", "/live", "u")).status == 200
        jobs = []
        for number in range(20):
            answer = await system.request("POST", f"/{number}?delay_ms=100", "u")
            jobs.append(answer.json()["id"])
        await system.put_rule("r", **rule)
        for job in jobs:
            assert (await system.ended(job, "u"))["status"] == "succeeded"
        arrivals = [arrival for arrival in await system.arrivals() if arrival["job"]]
        assert_arrived_in_order([f"/{number}?delay_ms=100" for number in range(20)], arrivals)
        assert {arrival["target"]: arrival["job"] for arrival in arrivals} == {
            f"/{number}?delay_ms=100": job for number, job in enumerate(jobs)
        }
        assert most_at_once(spans(system)) == 2
        for suffix in (":places", ":drain:places"):
            await all_places_are_free(settings, "counter:{r|user:u}" + suffix)
