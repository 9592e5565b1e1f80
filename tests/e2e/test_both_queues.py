"""What a client or an operator sees is the same with both queues: straight into the flows, or by way of Kafka."""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from app.settings import Settings
from tests.bounds import assert_in_order, assert_within_rate
from tests.broker import by_kafka
from tests.system import Answer, System, eventually, running

RULE: dict[str, Any] = {
    "key_type": "user",
    "key_value": "*",
    "limit": 1,
    "window_seconds": 36_000,
    "on_limit": "defer",
    "drain": {"limit": 50, "window_seconds": 1},
}
QUICK: Any = {"PENSTOCK_RETRY_BASE_S": "0.1", "PENSTOCK_RETRY_MAX_S": "0.5", "PENSTOCK_LEASE_S": "2"}
QUICK |= {"PENSTOCK_RECLAIM_INTERVAL_S": "0.5"}


@pytest.fixture(params=["redis", "kafka"])
def either(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    if request.param == "redis":
        return settings
    return by_kafka(settings, request.getfixturevalue("kafka_bootstrap"))


@pytest.fixture
async def system(either: Settings, tmp_path: Path) -> AsyncIterator[System]:
    async with running(either, tmp_path, edges=2, workers=2, **QUICK) as system:
        yield system


async def rule(system: System, *, users: tuple[str, ...] = ("u",), **fields: Any) -> None:  # noqa: ANN401
    """In force, and each of these users is over the limit."""
    await system.put_rule("r", **RULE | fields)
    await system.rule_is_known("r", users[0])
    for user in users:
        await deferring_works(system, user)


async def deferring_works(system: System, user: str) -> None:
    """Wait until an edge is in touch with its queue; uses up the limit."""

    async def accepted() -> bool:
        return (await system.request("POST", "/first", user, headers={"Connection": "close"})).status == 202

    await eventually(accepted, 60, "a request is deferred")


async def post(system: System, target: str, user: str = "u", **more: Any) -> Answer:  # noqa: ANN401
    headers = {"Connection": "close"} | more.pop("headers", {})
    return await system.request("POST", target, user, headers=headers, **more)


async def deferred(system: System, target: str, user: str = "u", **more: Any) -> str:  # noqa: ANN401
    answer = await post(system, target, user, **more)
    assert answer.status == 202, answer.body
    return str(answer.json()["id"])


async def test_order_and_rate_hold_and_each_job_is_sent_once(system: System) -> None:
    users = ("a", "b", "c")
    await rule(system, users=users, drain={"limit": 40, "window_seconds": 1})

    async def send_all(user: str) -> list[str]:
        return [await deferred(system, f"/{user}/{number}", user, data=b"body") for number in range(80)]

    ids = dict(zip(users, await asyncio.gather(*map(send_all, users)), strict=True))
    for user in users:
        for job_id in ids[user]:
            job = await system.ended(job_id, user)
            assert (job["status"], job["attempts"]) == ("succeeded", 1)
    arrivals = [arrival for arrival in await system.arrivals() if arrival["target"] != "/first"]
    for user in users:
        own = [arrival for arrival in arrivals if arrival["target"].startswith(f"/{user}/")]
        assert sorted(arrival["job"] for arrival in own) == sorted(ids[user]), "each once"
        assert_in_order([(int(arrival["target"].split("/")[2]), arrival["at"]) for arrival in own])
        assert {arrival["body"] for arrival in own} == {"body"}
        assert_within_rate([arrival["at"] for arrival in own], 40, 1)


async def test_a_long_flow_delays_no_other(system: System) -> None:
    await rule(system, users=("long", "short"), drain={"limit": 10, "window_seconds": 1})
    for number in range(60):
        await deferred(system, f"/long/{number}", "long")
    jobs = [await deferred(system, f"/short/{number}", "short") for number in range(5)]
    for job in jobs:
        assert (await system.ended(job, "short"))["status"] == "succeeded"
    arrived = [arrival["target"].split("/")[1] for arrival in await system.arrivals()]
    assert arrived[: arrived.index("short") + 30].count("short") >= 5, "it went at its own rate"


async def test_a_paused_flow_shows_positions_and_goes_on_when_it_may(system: System) -> None:
    await rule(system, drain={"limit": 1, "window_seconds": 600}, paused=True)
    jobs = [await deferred(system, f"/{number}") for number in range(4)]
    seen = [await system.job(job, "u") for job in jobs]
    positions = [job["position"] for job in seen]
    assert positions == list(range(positions[0], positions[0] + 4))
    assert {job["status"] for job in seen} == {"queued"}
    await system.put_rule("r", **RULE)
    for job in jobs:
        assert (await system.ended(job, "u"))["status"] == "succeeded"


async def test_an_eta_is_the_time_until_a_job_is_sent(system: System) -> None:
    await rule(system, drain={"limit": 1, "window_seconds": 100})
    jobs = [await deferred(system, f"/{number}") for number in range(3)]
    etas = [(await system.job(job, "u"))["eta_seconds"] for job in jobs]
    assert all(90 < later - earlier < 110 for earlier, later in pairwise(etas)), etas


async def test_a_canceled_job_is_never_sent(system: System) -> None:
    await rule(system, paused=True)
    jobs = [await deferred(system, f"/{number}") for number in range(6)]
    for job in jobs[::2]:
        assert (await system.request("DELETE", f"/_penstock/jobs/{job}", "u")).status == 204
    await system.put_rule("r", **RULE)
    outcomes = [(await system.ended(job, "u"))["status"] for job in jobs]
    assert outcomes == ["canceled", "succeeded"] * 3
    assert {arrival["target"] for arrival in await system.arrivals()} >= {"/1", "/3", "/5"}
    assert not {arrival["target"] for arrival in await system.arrivals()} & {"/0", "/2", "/4"}


async def test_an_idempotency_key_is_one_job(system: System) -> None:
    await rule(system, paused=True)
    key = {"Idempotency-Key": "order-1"}
    first, again = [await deferred(system, "/order", headers=key, data=b"x") for _ in range(2)]
    assert first == again
    assert (await post(system, "/order", headers=key, data=b"y")).status == 422
    await system.put_rule("r", **RULE)
    assert (await system.ended(first, "u"))["status"] == "succeeded"
    assert [arrival["target"] for arrival in await system.arrivals()].count("/order") == 1


async def test_a_failing_job_is_retried_and_ends_as_a_dead_letter(system: System) -> None:
    await rule(system, queue={"max_attempts": 3})
    job = await deferred(system, "/bad?status=500")
    ended = await system.ended(job, "u")
    assert (ended["status"], ended["attempts"]) == ("failed", 3)
    assert ended["error"]["code"] == "attempts_exhausted"
    attempts = [arrival["attempt"] for arrival in await system.arrivals() if arrival["job"] == job]
    assert attempts == ["1", "2", "3"]


async def test_a_full_flow_refuses(system: System) -> None:
    await rule(system, paused=True, queue={"max_depth": 5})
    answers = [await post(system, f"/{number}") for number in range(8)]
    accepted = [answer.status for answer in answers].count(202)
    assert [answer.status for answer in answers] == [202] * accepted + [429] * (8 - accepted)
    assert accepted == 4, "one was accepted before"
    assert "its queue is full" in answers[-1].json()["detail"]


async def test_what_waits_for_too_long_ends(system: System) -> None:
    await rule(system, paused=True, queue={"max_wait_seconds": 2})
    ended = await system.ended(await deferred(system, "/late"), "u")
    assert (ended["status"], ended["error"]["code"]) == ("failed", "expired")


async def test_killed_workers_lose_nothing(system: System) -> None:
    await rule(system, drain={"limit": 50, "window_seconds": 1})
    jobs = []
    for number in range(100):
        jobs.append(await deferred(system, f"/{number}?delay_ms=20"))
        if number % 40 == 20:
            for part in [part for part in system.parts if part.role == "worker" and part.process.poll() is None]:
                part.kill()
            await system.ready(system.worker())
    outcomes = [(await system.ended(job, "u", within_s=60))["status"] for job in jobs]
    assert set(outcomes) == {"succeeded"}
    arrived = [arrival["job"] for arrival in await system.arrivals() if arrival["job"]]
    assert set(jobs) <= set(arrived)
