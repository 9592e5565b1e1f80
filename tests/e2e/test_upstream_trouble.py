"""App servers that are down, busy or slow."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from app.settings import Settings
from tests.support.system import System, running

RATE = 50
RULE: dict[str, Any] = {
    "key_type": "user",
    "key_value": "*",
    "limit": 1,
    "window_seconds": 3600,
    "on_limit": "defer",
    "drain": {"limit": RATE, "window_seconds": 1},
}


async def defer(system: System, count: int, path: str = "/{}") -> list[str]:
    """So many jobs of one user, after the one request that is within the limit."""
    await system.put_rule("r", **RULE)
    await system.rule_is_known("r", "u")
    assert (await system.request("POST", "/live", "u")).status == 200
    answers = [await system.request("POST", path.format(number), "u") for number in range(count)]
    return [answer.json()["id"] for answer in answers]


@pytest.mark.parametrize("how", ["down", "busy"])
async def test_app_servers_that_are_away_cost_no_attempt_and_no_order(
    settings: Settings, tmp_path: Path, how: str
) -> None:
    async with running(settings, tmp_path, workers=0) as system:
        jobs = await defer(system, 400)
        [server] = [part for part in system.parts if part.role == "app server"]
        if how == "down":
            server.kill()
            server.process.wait()
        else:
            await system.http.put(f"{system.upstream}/-/status/503")
        await system.ready(system.worker())
        await asyncio.sleep(6)
        if how == "down":
            await system.ready(system.app_server())
            away: list[dict[str, Any]] = []
        else:
            away = [a for a in await system.arrivals() if a["job"]]
            assert 3 <= len(away) <= 3 + 5, "three in a row, then one probe a backoff"
            await system.http.put(f"{system.upstream}/-/status/0")
        await system.ended(jobs[-1], "u", 120)
        arrivals = [a for a in await system.arrivals() if a["job"]][len(away) :]
        assert [a["target"] for a in arrivals] == [f"/{number}" for number in range(400)]
        assert {a["attempt"] for a in arrivals} == {"1"}
        since = [a["at"] - arrivals[0]["at"] for a in arrivals]
        first_second, last_second = sum(at < 1 for at in since), sum(at > since[-1] - 1 for at in since)
        print(f"{how}: {first_second} in the first second, {last_second} in the last, all after {since[-1]:.1f} s")
        assert first_second <= 10, "it begins with a few"
        assert last_second > RATE / 2, "and is back at the full rate"
        assert since[-1] < 400 / RATE + 30


async def test_retry_after_of_a_busy_app_server_is_honoured(settings: Settings, tmp_path: Path) -> None:
    async with running(settings, tmp_path) as system:
        [job] = await defer(system, 1, "/{}?status=503&retry_after=3")
        first, second = [a["at"] for a in await system.arrived(3) if a["job"]][:2]
        assert second - first >= 3
        assert (await system.job(job, "u"))["attempts"] <= 1


async def test_a_worker_that_is_asked_to_end_leaves_nothing_behind(
    settings: Settings, tmp_path: Path, queue: Redis
) -> None:
    async with running(settings, tmp_path) as system:
        [worker] = [part for part in system.parts if part.role == "worker"]
        jobs = await defer(system, 60, "/{}?delay_ms=1500")
        await system.arrived(20)
        worker.process.terminate()
        assert await asyncio.to_thread(worker.process.wait, 30) == 0
        assert (await queue.xpending("{q0}:jobs", "workers"))["pending"] == 0
        states = [(await system.job(job, "u"))["status"] for job in jobs]
        assert set(states) == {"succeeded", "queued"}, "finished and settled, or never begun"
        await system.ready(system.worker())
        await system.ended(jobs[-1], "u", 60)
        arrivals = [a["target"] for a in await system.arrivals() if a["job"]]
        assert arrivals == [f"/{number}?delay_ms=1500" for number in range(60)], "each once, in order"


async def test_what_takes_too_long_to_finish_goes_back_to_its_flow(
    settings: Settings, tmp_path: Path, queue: Redis
) -> None:
    async with running(settings, tmp_path, PENSTOCK_FINISH_WITHIN_S="0.5") as system:
        [worker] = [part for part in system.parts if part.role == "worker"]
        [job] = await defer(system, 1, "/{}?delay_ms=20000")
        await system.arrived(2)
        worker.process.terminate()
        assert await asyncio.to_thread(worker.process.wait, 15) == 0
        assert (await queue.xpending("{q0}:jobs", "workers"))["pending"] == 0
        found = await system.job(job, "u")
        assert (found["status"], found["attempts"]) == ("retrying", 1)


async def test_an_app_server_that_is_down_is_a_502(settings: Settings, tmp_path: Path) -> None:
    async with running(settings, tmp_path, workers=0, PENSTOCK_UPSTREAMS="http://127.0.0.1:9") as system:
        answer = await system.request("GET", "/x", "u")
        assert (answer.status, answer.headers["Content-Type"]) == (502, "application/problem+json")


async def test_an_app_server_too_slow_is_a_504(settings: Settings, tmp_path: Path) -> None:
    async with running(settings, tmp_path, workers=0, PENSTOCK_UPSTREAM_READ_TIMEOUT_S="0.3") as system:
        assert (await system.request("GET", "/x?delay_ms=5000", "u")).status == 504


async def test_a_request_may_take_longer_than_a_lease(settings: Settings, tmp_path: Path) -> None:
    short: Any = {"PENSTOCK_LEASE_S": "1", "PENSTOCK_RECLAIM_INTERVAL_S": "0.2"}
    async with running(settings, tmp_path, workers=2, **short) as system:
        [job] = await defer(system, 1, "/{}?delay_ms=4000")
        ended = await system.ended(job, "u")
        assert (ended["status"], ended["attempts"]) == ("succeeded", 1)
        assert len([a for a in await system.arrivals() if a["job"]]) == 1, "nobody else took it"
