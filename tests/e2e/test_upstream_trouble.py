"""App servers that are down, busy or slow."""

import asyncio
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from redis.asyncio import Redis

from app.settings import Settings
from tests.support.bounds import assert_arrived_in_order
from tests.support.ports import free_port
from tests.support.raw_app_server import Asked, RawServer, echo, listening
from tests.support.system import System, running

RATE = 50
BETWEEN_ROUNDS_S = 0.8
"""No flow is held for less than 1 s: what arrives sooner after the last arrival was under way together with it."""

RULE: dict[str, Any] = {
    "key_type": "user",
    "key_value": "*",
    "limit": 1,
    "window_seconds": 3600,
    "on_limit": "defer",
    "drain": {"limit": RATE, "window_seconds": 1},
}


async def know_rule(system: System, user: str = "u") -> None:
    await system.put_rule("r", **RULE)
    await system.rule_is_known("r", user)


async def defer(system: System, count: int, path: str = "/{}", user: str = "u") -> list[str]:
    """Defer this many jobs of one user, after the one request that is within the limit."""
    await know_rule(system, user)
    assert (await system.request("POST", "/live", user)).status == 200
    answers = [await system.request("POST", path.format(number), user) for number in range(count)]
    return [answer.json()["id"] for answer in answers]


async def drained(system: System) -> list[dict[str, Any]]:
    """What workers have sent so far, in order of arrival."""
    return [arrival for arrival in await system.arrivals() if arrival["job"]]


async def answer_all_with(system: System, status: int) -> None:
    """Let the app server give this answer to every request; 0: what each request asks for."""
    await system.http.put(f"{system.upstream}/-/status/{status}")


@pytest.mark.alone
async def test_app_servers_that_are_down_cost_no_attempt_and_no_order(settings: Settings, tmp_path: Path) -> None:
    async with running(settings, tmp_path, workers=0) as system:
        jobs = await defer(system, 400)
        [server] = [part for part in system.parts if part.role == "app server"]
        server.kill()
        server.process.wait()
        await system.ready(system.worker())
        await asyncio.sleep(6)
        await system.ready(system.app_server())
        await system.ended(jobs[-1], "u", 120)
        arrivals = await drained(system)
        assert_arrived_in_order([f"/{number}" for number in range(400)], arrivals)
        assert {a["attempt"] for a in arrivals} == {"1"}
        since = [a["at"] - arrivals[0]["at"] for a in arrivals]
        first_second, last_second = sum(at < 1 for at in since), sum(at > since[-1] - 1 for at in since)
        print(f"{first_second} in the first second, {last_second} in the last, all after {since[-1]:.1f} s")
        assert first_second <= 10, "the ramp begins with a few"
        assert last_second > RATE / 2, "the full rate is reached again"
        assert since[-1] < 400 / RATE + 30


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_a_flow_that_is_turned_away_is_held_ever_longer_and_keeps_its_order_and_attempts(
    settings: Settings, tmp_path: Path, status: int
) -> None:
    async with running(settings, tmp_path, workers=0) as system:
        jobs = await defer(system, 60)
        await answer_all_with(system, status)
        await system.ready(system.worker())
        await system.arrived(2)
        await asyncio.sleep(6)
        await answer_all_with(system, 0)
        await system.ended(jobs[-1], "u", 60)
        turned_away = [arrival for arrival in await drained(system) if arrival["status"] == status]
        within_6_s = [a["at"] for a in turned_away if a["at"] < turned_away[0]["at"] + 6]
        rounds = 1 + sum(later - earlier > BETWEEN_ROUNDS_S for earlier, later in pairwise(within_6_s))
        assert 2 <= rounds <= 3, "a backoff of 1 s that doubles each time"
        assert turned_away[0]["target"] == "/0"
        arrivals = [arrival for arrival in await drained(system) if arrival["status"] == 200]
        assert_arrived_in_order([f"/{number}" for number in range(60)], arrivals)
        assert {a["attempt"] for a in arrivals} == {"1"}


@pytest.mark.parametrize("trouble", ["status=503&retry_after=900", "status=503", "status=429"])
async def test_an_endpoint_that_is_busy_holds_nobody_else(settings: Settings, tmp_path: Path, trouble: str) -> None:
    async with running(settings, tmp_path, workers=0) as system:
        unlucky = await defer(system, 30, "/busy/{}?" + trouble, "unlucky")
        await system.ready(system.worker())
        await system.arrived(1 + 1)
        await asyncio.sleep(3)  # so that whatever opens has opened
        [job] = await defer(system, 1, "/fine/{}", "lucky")
        ended = await system.ended(job, "lucky", 2)
        assert ended["status"] == "succeeded"
        waiting = await system.job(unlucky[0], "unlucky")
        assert waiting["status"] in {"queued", "retrying", "running"}
        assert waiting["attempts"] == (waiting["status"] == "running"), (
            "no attempt is used, but by one that is under way"
        )


async def test_when_many_flows_are_turned_away_the_worker_only_probes_each_time_with_another_flow(
    settings: Settings, tmp_path: Path
) -> None:
    users = [f"user-{number}" for number in range(20)]
    async with running(settings, tmp_path, workers=0) as system:
        # One job each: how many more a flow sends until its first refusal is known depends on how slow the machine is.
        jobs = {user: (await defer(system, 1, "/" + user + "/{}", user))[-1] for user in users}
        await answer_all_with(system, 503)
        await system.ready(system.worker())
        await asyncio.sleep(8)
        turned_away = [arrival["target"].split("/")[1] for arrival in await drained(system)]
        assert len(turned_away) <= len(users) + 6, "one round at most, then probes after 0.5, 1.5, 3.5 and 7.5 s"
        assert len(turned_away) >= 8
        assert all(one != next_one for one, next_one in pairwise(turned_away[-3:]))
        await answer_all_with(system, 0)
        for user, job in jobs.items():
            assert (await system.ended(job, user, 60))["status"] == "succeeded"


async def test_retry_after_of_a_busy_app_server_is_honoured(settings: Settings, tmp_path: Path) -> None:
    async with running(settings, tmp_path) as system:
        [job] = await defer(system, 1, "/{}?status=503&retry_after=3")
        await system.arrived(3)
        first, second = [arrival["at"] for arrival in await drained(system)][:2]
        assert second - first >= 3
        assert (await system.job(job, "u"))["attempts"] <= 1


@pytest.mark.parametrize(
    "retry_after",
    ["Fri, 31 Dec 10000 23:59:59 GMT", "Fri, 31 Dec 99999999999999999999 23:59:59 GMT", "99999999999999999999999999"],
)
async def test_a_retry_after_beyond_all_dates_is_passed_on_and_breaks_no_job(
    settings: Settings, tmp_path: Path, retry_after: str
) -> None:
    rule = RULE | {"queue": {"max_wait_seconds": 6}}
    async with running(settings, tmp_path) as system:
        target = f"/?status=503&retry_after={quote(retry_after)}"
        for _ in range(3):
            answer = await system.request("GET", target)
            assert (answer.status, answer.headers["Retry-After"]) == (503, retry_after)
        await system.put_rule("r", **rule)
        await system.rule_is_known("r", "u")
        assert (await system.request("POST", "/live", "u")).status == 200
        job = (await system.request("POST", target, "u")).json()["id"]
        ended = await system.ended(job, "u", 15)
        assert (ended["status"], ended["error"]["code"], ended["attempts"]) == ("failed", "expired", 0)


async def test_live_requests_that_are_turned_away_move_no_traffic_and_a_dead_server_fails_few(
    settings: Settings, tmp_path: Path
) -> None:
    async def answer(asked: Asked) -> None:
        busy = b"HTTP/1.1 503 Busy\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n"
        await asked.wire.say(busy if asked.target == "/busy" else echo(b"fine"))

    servers = [RawServer(answer), RawServer(answer)]
    async with AsyncExitStack() as survivor, AsyncExitStack() as victim:
        ports = [await victim.enter_async_context(listening(servers[0]))]
        ports.append(await survivor.enter_async_context(listening(servers[1])))
        urls = ",".join(f"http://127.0.0.1:{port}" for port in ports)
        async with running(settings, tmp_path, workers=0, PENSTOCK_UPSTREAMS=urls) as system:
            await know_rule(system)
            assert [(await system.request("GET", "/busy")).status for _ in range(6)] == [503] * 6
            before = [len(server.asked) for server in servers]
            assert [(await system.request("GET", "/")).status for _ in range(20)] == [200] * 20
            assert [len(server.asked) - count for server, count in zip(servers, before, strict=True)] == [10, 10]
            servers[0].disconnect()
            await victim.aclose()
            assert [(await system.request("GET", "/")).status for _ in range(30)].count(200) >= 29


async def test_with_all_app_servers_down_each_is_tried_again_as_soon_as_it_is_back(
    settings: Settings, tmp_path: Path
) -> None:
    ports = free_port(), free_port()
    urls = ",".join(f"http://127.0.0.1:{port}" for port in ports)
    async with running(settings, tmp_path, workers=0, PENSTOCK_UPSTREAMS=urls) as system:
        for port in ports:
            assert [(await system.request("GET", "/")).status for _ in range(15)] == [502] * 15
            server = RawServer()
            listener = await asyncio.start_server(server.serve, "127.0.0.1", port)
            try:
                found = [(await system.request("GET", "/")).status for _ in range(12)]
                assert found[2:] == [200] * 10, "the servers are tried in turn"
            finally:
                listener.close()
                server.disconnect()


async def test_a_worker_that_is_asked_to_stop_leaves_no_job_leased(
    settings: Settings, tmp_path: Path, queue: Redis
) -> None:
    async with running(settings, tmp_path, workers=0) as system:
        jobs = await defer(system, 120, "/{}?delay_ms=1500")  # of which some wait still when some have arrived
        worker = system.worker()
        await system.arrived(20)
        worker.process.terminate()
        assert await asyncio.to_thread(worker.process.wait, 30) == 0
        assert (await queue.xpending("{q0}:jobs", "workers"))["pending"] == 0
        states = [(await system.job(job, "u"))["status"] for job in jobs]
        assert set(states) == {"succeeded", "queued"}, "each job was finished and settled, or never sent"
        await system.ready(system.worker())
        await system.ended(jobs[-1], "u", 60)
        assert_arrived_in_order([f"/{number}?delay_ms=1500" for number in range(120)], await drained(system))


async def test_a_job_that_takes_too_long_to_finish_returns_to_its_flow(
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


async def test_an_app_server_that_is_too_slow_is_a_504(settings: Settings, tmp_path: Path) -> None:
    async with running(settings, tmp_path, workers=0, PENSTOCK_UPSTREAM_READ_TIMEOUT_S="0.3") as system:
        assert (await system.request("GET", "/x?delay_ms=5000", "u")).status == 504


async def test_a_request_may_take_longer_than_a_lease(settings: Settings, tmp_path: Path) -> None:
    short: Any = {"PENSTOCK_LEASE_S": "3", "PENSTOCK_RECLAIM_INTERVAL_S": "0.2"}
    async with running(settings, tmp_path, workers=2, **short) as system:
        [job] = await defer(system, 1, "/{}?delay_ms=7000")
        ended = await system.ended(job, "u")
        assert (ended["status"], ended["attempts"]) == ("succeeded", 1)
        assert len(await drained(system)) == 1, "no other worker took it over"
