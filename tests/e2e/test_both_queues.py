"""Clients and operators see the same with both queues, Redis and Kafka."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest
import pytest_asyncio

from app.settings import Settings
from tests.support.bounds import as_read, assert_in_order
from tests.support.broker import with_kafka
from tests.support.granted_slots import assert_sent_at_slots
from tests.support.stores import emptied
from tests.support.system import Answer, System, running
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

RULE: dict[str, Any] = {
    "key_type": "user",
    "limit": 1,
    "window_seconds": 36_000,
    "on_limit": "defer",
    "drain": {"limit": 50, "window_seconds": 1},
}
QUICK: Any = {"PENSTOCK_RETRY_BASE_S": "0.1", "PENSTOCK_RETRY_MAX_S": "0.5", "PENSTOCK_LEASE_S": "4"}
QUICK |= {"PENSTOCK_RECLAIM_INTERVAL_S": "0.5"}


QUEUES = [
    pytest.param("redis", marks=pytest.mark.xdist_group("queue-redis")),
    pytest.param("kafka", marks=[pytest.mark.xdist_group("queue-kafka"), pytest.mark.kafka]),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=QUEUES)
async def system(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    mongod_url: str,
    cache_url: str,
    queue_url: str,
) -> AsyncIterator[System]:
    """One system for all tests of a queue: each test has users and rules of its own."""
    settings = Settings(
        mongodb_url=mongod_url,
        mongodb_database=f"test_{uuid.uuid4().hex[:12]}",
        cache_redis_url=emptied(cache_url),
        queue_redis_url=emptied(queue_url),
        queue_partitions=2,
    )
    if request.param == "kafka":
        settings = with_kafka(settings, request.getfixturevalue("kafka_bootstrap"))
    folder = tmp_path_factory.mktemp(request.param)
    async with running(settings, folder, edges=2, workers=2, record_slots=True, **QUICK) as system:
        yield system


async def rules(system: System, *users: str, **fields: Any) -> None:  # noqa: ANN401
    """A rule each, in force, and all of them are over their limit: one job was deferred already."""
    for user in users:
        await system.put_rule(user, **RULE | {"key_value": user} | fields)
    for user in users:
        await system.rule_is_known(user, user)
        await eventually(lambda: _accepted(system, user), 60, f"{user} is deferred")  # noqa: B023


async def _accepted(system: System, user: str) -> bool:
    """An edge may not be in touch with its queue yet."""
    return (await post(system, user, "first")).status == 202


async def post(system: System, user: str, what: object, **more: Any) -> Answer:  # noqa: ANN401
    headers = {"Connection": "close"} | more.pop("headers", {})
    return await system.request("POST", f"/{user}/{what}", user, headers=headers, **more)


async def deferred(system: System, user: str, what: object, **more: Any) -> str:  # noqa: ANN401
    answer = await post(system, user, what, **more)
    assert answer.status == 202, answer.body
    return str(answer.json()["id"])


async def arrivals_of(system: System, user: str) -> list[dict[str, Any]]:
    """Of what was drained, but for the first."""
    found = [arrival for arrival in await system.arrivals() if arrival["target"].startswith(f"/{user}/")]
    return [arrival | {"what": arrival["target"].split("/")[2]} for arrival in found if arrival["job"]]


async def test_order_and_rate_hold_and_each_job_is_sent_once(system: System) -> None:
    users = ("a", "b", "c")
    await rules(system, *users, drain={"limit": 40, "window_seconds": 1})

    async def send_all(user: str) -> list[str]:
        return [await deferred(system, user, number, data=b"body") for number in range(60)]

    ids = dict(zip(users, await asyncio.gather(*map(send_all, users)), strict=True))
    for user in users:
        for job_id in ids[user]:
            job = await system.ended(job_id, user)
            assert (job["status"], job["attempts"]) == ("succeeded", 1)
        drained = await arrivals_of(system, user)
        own = [arrival for arrival in drained if arrival["what"] != "first"]
        assert sorted(arrival["job"] for arrival in own) == sorted(ids[user]), "each once"
        assert {arrival["body"] for arrival in own} == {"body"}
        assert_in_order(as_read((int(arrival["what"]) for arrival in own), own))
        assert_sent_at_slots([arrival["clock"] for arrival in drained], system.granted(f"user:{user}"), 40, 1)


async def test_a_long_flow_delays_no_other(system: System) -> None:
    await rules(system, "long", "short", drain={"limit": 4, "window_seconds": 1})
    jobs = [await deferred(system, "long", number) for number in range(60)]
    for job in [await deferred(system, "short", number) for number in range(5)]:
        assert (await system.ended(job, "short"))["status"] == "succeeded"
    assert (await system.job(jobs[-1], "long"))["status"] == "queued"


async def test_a_paused_flow_shows_positions_and_goes_on_when_it_may(system: System) -> None:
    await rules(system, "paused", paused=True)
    jobs = [await deferred(system, "paused", number) for number in range(4)]
    seen = [await system.job(job, "paused") for job in jobs]
    positions = [job["position"] for job in seen]
    assert positions == list(range(positions[0], positions[0] + 4))
    assert {job["status"] for job in seen} == {"queued"}
    await system.put_rule("paused", **RULE, key_value="paused")
    for job in jobs:
        assert (await system.ended(job, "paused"))["status"] == "succeeded"


async def test_an_eta_is_the_time_until_a_job_is_sent(system: System) -> None:
    await rules(system, "eta", drain={"limit": 1, "window_seconds": 100})
    jobs = [await deferred(system, "eta", number) for number in range(3)]

    async def a_window_apart() -> bool:
        etas = [(await system.job(job, "eta"))["eta_seconds"] for job in jobs]
        return all(90 < later - earlier < 110 for earlier, later in pairwise(etas))

    # Not at once: the job before them may just be leaving, or miss its slot between two questions.
    await eventually(a_window_apart, 30, "each waits for one window more than the one before")


async def test_a_canceled_job_is_never_sent(system: System) -> None:
    await rules(system, "canceling", paused=True)
    jobs = [await deferred(system, "canceling", number) for number in range(6)]
    for job in jobs[::2]:
        assert (await system.request("DELETE", f"/_penstock/jobs/{job}", "canceling")).status == 204
    await system.put_rule("canceling", **RULE, key_value="canceling")
    outcomes = [(await system.ended(job, "canceling"))["status"] for job in jobs]
    assert outcomes == ["canceled", "succeeded"] * 3
    arrived = {arrival["what"] for arrival in await arrivals_of(system, "canceling")}
    assert arrived & {"0", "1", "2", "3", "4", "5"} == {"1", "3", "5"}


async def test_an_idempotency_key_is_one_job(system: System) -> None:
    await rules(system, "keyed", paused=True)
    key = {"Idempotency-Key": "order-1"}
    first, again = [await deferred(system, "keyed", "order", headers=key, data=b"x") for _ in range(2)]
    assert first == again
    assert (await post(system, "keyed", "order", headers=key, data=b"y")).status == 422
    await system.put_rule("keyed", **RULE, key_value="keyed")
    assert (await system.ended(first, "keyed"))["status"] == "succeeded"
    assert [arrival["what"] for arrival in await arrivals_of(system, "keyed")].count("order") == 1


async def test_a_failing_job_is_retried_and_ends_as_a_dead_letter(system: System) -> None:
    await rules(system, "failing", queue={"max_attempts": 3})
    job = await deferred(system, "failing", "bad?status=500")
    ended = await system.ended(job, "failing")
    assert (ended["status"], ended["attempts"]) == ("failed", 3)
    assert ended["error"]["code"] == "attempts_exhausted"
    attempts = [arrival["attempt"] for arrival in await arrivals_of(system, "failing") if arrival["job"] == job]
    assert attempts == ["1", "2", "3"]


async def test_a_full_flow_refuses(system: System) -> None:
    await rules(system, "full", paused=True, queue={"max_depth": 5})
    statuses = [(await post(system, "full", number)).status for number in range(8)]
    assert statuses == [202] * 4 + [429] * 4, "one was accepted before"
    answer = await post(system, "full", "more")
    assert "its queue is full" in answer.json()["detail"]


async def test_what_waits_for_too_long_ends(system: System) -> None:
    await rules(system, "late", paused=True, queue={"max_wait_seconds": 2})
    ended = await system.ended(await deferred(system, "late", "late"), "late")
    assert (ended["status"], ended["error"]["code"]) == ("failed", "expired")


async def test_killed_workers_lose_nothing(system: System) -> None:
    """The last of all: it kills what the others use."""
    await rules(system, "killed")
    jobs = []
    for number in range(100):
        jobs.append(await deferred(system, "killed", f"{number}?delay_ms=20"))
        if number % 50 == 30:
            for part in [part for part in system.parts if part.role == "worker" and part.process.poll() is None]:
                part.kill()
                part.process.wait()
            await system.ready(system.worker())
    outcomes = [(await system.ended(job, "killed", within_s=60))["status"] for job in jobs]
    assert set(outcomes) == {"succeeded"}
    assert set(jobs) <= {arrival["job"] for arrival in await arrivals_of(system, "killed")}
