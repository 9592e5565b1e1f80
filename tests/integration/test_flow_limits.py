"""What bounds a flow and the queue: time, depth, memory, leases; and what cannot be read."""

import asyncio
from dataclasses import replace
from typing import cast

import pytest
from redis.asyncio import Redis

from app.jobs.model import JobStatus, StoredResponse
from app.queue import keys
from app.queue.flows import Flows
from app.queue.model import Full, FullReason, Settlement
from app.queue.reads import now_us
from app.queue.records import Records
from app.redis_wire.scripts import Scripts
from app.settings import Settings
from tests.support.flow_steps import (
    LONG_US,
    REQUEST_BYTES,
    accepted,
    active,
    deferral,
    due_us,
    give_back,
    idle_for,
    ids,
    lease,
    make_due,
    make_late,
    take,
)


async def test_reclaimed_jobs_return_in_order_or_end_as_dead_letters(flows: Flows, records: Records) -> None:
    rule = active(queue={"max_attempts": 2})
    accepted_ids = [await accepted(flows, deferral(i, rule)) for i in range(3)]
    [flow] = await take(flows)
    await lease(flows, flow, 2)
    assert await flows.reclaim(0, "other", 1000) == (0, 0)
    assert await flows.reclaim(0, "other", 0) == (2, 0)
    await give_back(flows, flow)
    [flow] = await take(flows)
    assert ids((await lease(flows, flow, 2)).jobs) == accepted_ids[:2]
    assert await flows.reclaim(0, "other", 0) == (0, 2)
    dead = await records.get(accepted_ids[0])
    assert dead is not None
    assert (dead.status, dead.error_code) == (JobStatus.FAILED, "attempts_exhausted")


async def test_extended_leases_are_not_reclaimed(flows: Flows, queue: Redis) -> None:
    await accepted(flows, deferral())
    [flow] = await take(flows)
    leased = (await lease(flows, flow, 1)).jobs
    await idle_for(queue, 3600)
    await flows.extend(leased, "c")
    assert await flows.reclaim(0, "other", 3600) == (0, 0)
    await idle_for(queue, 3600)
    assert await flows.reclaim(0, "other", 3600) == (1, 0)


async def test_jobs_past_their_time_end_unsent(flows: Flows, records: Records) -> None:
    rule = active(queue={"max_wait_seconds": 0.05}, drain={"limit": 1000, "window_seconds": 1})
    late = await accepted(flows, deferral(0, rule))
    await asyncio.sleep(0.1)
    fresh = await accepted(flows, deferral(1, active(drain={"limit": 1000, "window_seconds": 1})))
    [flow] = await take(flows)
    assert ids((await lease(flows, flow, 5)).jobs) == [fresh]
    job = await records.get(late)
    assert job is not None
    assert (job.status, job.error_code) == (JobStatus.FAILED, "expired")


async def test_a_full_flow_and_a_doomed_job_are_refused(flows: Flows) -> None:
    shallow = active(queue={"max_depth": 2})
    for i in range(2):
        await accepted(flows, deferral(i, shallow))
    assert await flows.enqueue(deferral(2, shallow)) == Full(FullReason.DEPTH, 1)
    slow = active(queue={"max_wait_seconds": 25}, drain={"limit": 1, "window_seconds": 10})
    for i in range(3):
        await accepted(flows, deferral(i, slow, user="v"))
    answer = await flows.enqueue(deferral(3, slow, user="v"))
    assert isinstance(answer, Full)
    assert answer.reason is FullReason.WAIT
    assert 5 <= answer.retry_after_s <= 6


async def test_jobs_that_wait_for_too_long_end_where_no_worker_looks(
    flows: Flows, records: Records, queue: Redis
) -> None:
    short = active(queue={"max_wait_seconds": 600}, drain={"limit": 1000, "window_seconds": 1})
    asked_ms = await now_us(queue) // 1000
    late = [await accepted(flows, deferral(i, short)) for i in range(3)]
    fresh = await accepted(flows, deferral(3, active(drain={"limit": 1000, "window_seconds": 1})))
    other = await accepted(flows, deferral(4, short, user="v"))
    answered_ms = await now_us(queue) // 1000
    [flow] = [flow for flow in await take(flows) if flow.name == "r|user:u"]
    await flows.park(flow.name, flow.token, 5)
    assert await flows.expire(0) == 0
    for name in ("r|user:u", "r|user:v"):
        looked_at_ms = await queue.zscore("{q0}:expiry", name)
        assert looked_at_ms is not None, "it is looked at when its first job is late"
        assert asked_ms + 600_000 <= looked_at_ms <= answered_ms + 600_000
    assert await queue.hget("{q0}:flow:r|user:u", "mixed_waits") == b"1"
    for job_id in late:
        await make_late(queue, job_id, "r|user:u")
    await make_late(queue, other, "r|user:v")
    assert [await flows.expire(0) for _ in range(2)] == [4, 0]
    for job_id in (*late, other):
        job = await records.get(job_id)
        assert job is not None
        assert (job.status, job.error_code) == (JobStatus.FAILED, "expired")
    job = await records.get(fresh)
    assert job is not None
    assert (job.status, job.position) == (JobStatus.QUEUED, 1)


async def test_a_retry_that_would_come_too_late_ends_in_time(flows: Flows, records: Records, queue: Redis) -> None:
    short = active(queue={"max_wait_seconds": 600}, drain={"limit": 1000, "window_seconds": 1})
    asked_ms = await now_us(queue) // 1000
    job_id = await accepted(flows, deferral(0, short))
    answered_ms = await now_us(queue) // 1000
    [flow] = await take(flows)
    [job] = (await lease(flows, flow, 1)).jobs
    assert await flows.retry(job, 3600, "upstream_error", "It failed.", give_back=False)
    returns_us = await queue.zscore("{q0}:retry", job_id)
    assert returns_us is not None
    assert asked_ms + 600_000 <= returns_us / 1000 <= answered_ms + 600_000, "it returns when its time is over"
    assert await flows.expire(0) == 0
    await make_late(queue, job_id, "r|user:u")
    await queue.zadd("{q0}:retry", {job_id: 1})
    assert await flows.expire(0) == 1
    found = await records.get(job_id)
    assert found is not None
    assert (found.status, found.error_code) == (JobStatus.FAILED, "expired")


@pytest.mark.parametrize("change", [{"queue_max_jobs": 3}, {"queue_max_bytes": 3 * REQUEST_BYTES + 10}])
async def test_the_queue_as_a_whole_has_caps(
    queue: Redis, queueing: Scripts, settings: Settings, change: dict[str, int]
) -> None:
    flows = Flows(queue, queueing, settings.model_copy(update=change))
    await flows.prepare()
    for i in range(3):
        await accepted(flows, deferral(i, user=f"u{i}"))
    assert await flows.enqueue(deferral(3, user="v")) == Full(FullReason.MEMORY, 1)
    [flow, *_] = await take(flows)
    [job] = (await lease(flows, flow, 1)).jobs
    await flows.settle([Settlement(job, JobStatus.SUCCEEDED, response=StoredResponse(200, [], b""))])
    await accepted(flows, deferral(4, user="v"))
    assert await flows.enqueue(deferral(5, user="w")) == Full(FullReason.MEMORY, 1)


@pytest.mark.usefixtures("steady_memory")
async def test_memory_is_left_for_settling(flows: Flows, queue: Redis, records: Records) -> None:
    first = await accepted(flows, deferral(0))
    used = int((await queue.info("memory"))["used_memory"])
    before = int((await queue.config_get("maxmemory"))["maxmemory"] or 0)
    await queue.config_set("maxmemory", int(used / 0.79))
    try:
        large = deferral(1)
        large = replace(large, request=replace(large.request, body=bytes(used // 20)))
        assert await flows.enqueue(large) == Full(FullReason.MEMORY, 1)
        [flow] = await take(flows)
        [job] = (await lease(flows, flow, 1)).jobs
        await flows.settle([Settlement(job, JobStatus.SUCCEEDED, response=StoredResponse(200, [], bytes(1000)))])
    finally:
        await queue.config_set("maxmemory", before)
    found = await records.get(first)
    assert found is not None
    assert found.status is JobStatus.SUCCEEDED
    await accepted(flows, large)


async def test_names_of_workers_that_are_gone_do_not_pile_up(flows: Flows, queue: Redis, settings: Settings) -> None:
    stream = keys.prefix(0) + "jobs"
    for name in ("gone", "here", "busy"):
        await queue.xgroup_createconsumer(stream, "workers", name)
    await accepted(flows, deferral(0))
    [flow] = await take(flows)
    assert await flows.lease(flow, 1, consumer="busy", keep_us=LONG_US)
    await flows.reclaim(0, "here", 3600, forgotten_after_s=0)
    assert {one["name"] for one in await queue.xinfo_consumers(stream, "workers")} == {b"here", b"busy"}


async def test_a_sealed_request_that_was_changed_ends_unsent(
    queue: Redis, queueing: Scripts, settings: Settings
) -> None:
    flows = Flows(queue, queueing, settings.model_copy(update={"envelope_keys": {"k": bytes(32)}}))
    await flows.prepare()
    changed = await accepted(flows, deferral(0, seal=True))
    whole = await accepted(flows, deferral(1, seal=True))
    key = keys.record(0, changed)
    record = cast("bytes", await queue.get(key))
    await queue.set(key, record[:-1] + bytes([record[-1] ^ 1]))
    [flow] = await take(flows)
    [job] = (await lease(flows, flow, 5)).jobs
    assert (job.id, job.request.body) == (whole, b"body 1")
    found = await Records(queue, queueing, settings).get(changed)
    assert found is not None
    assert (found.status, found.error_message) == (
        JobStatus.FAILED,
        "The stored request cannot be read: it was changed.",
    )


@pytest.mark.usefixtures("steady_memory")
async def test_memory_is_looked_at_again_within_a_tenth_of_a_second(flows: Flows, queue: Redis) -> None:
    await accepted(flows, deferral(0))
    used = int((await queue.info("memory"))["used_memory"])
    before = int((await queue.config_get("maxmemory"))["maxmemory"] or 0)
    await queue.config_set("maxmemory", int(used / 0.85))
    try:
        await asyncio.sleep(0.2)
        assert await flows.enqueue(deferral(1)) == Full(FullReason.MEMORY, 1)
    finally:
        await queue.config_set("maxmemory", before)
    await accepted(flows, deferral(1))


async def test_refusals_in_a_row_hold_a_flow_ever_longer_and_a_success_begins_anew(flows: Flows, queue: Redis) -> None:
    """Answers 429 without Retry-After, each to the job at the head."""

    async def refused(held_s: int) -> None:
        """The flow is held for so long then."""
        await make_due(queue, "r|user:u")  # the last hold is over
        await queue.hset(keys.prefix(0) + "flow:r|user:u", "hold_until", "1")
        [flow] = await take(flows)
        [job] = (await lease(flows, flow, 1)).jobs
        before_us = await now_us(queue)
        assert await flows.hold(job, 1.0, 60.0, 0.0, "upstream_unavailable", "429")
        after_us = await now_us(queue)
        until_us = await due_us(queue, "r|user:u")
        assert before_us + held_s * 1_000_000 <= until_us <= after_us + held_s * 1_000_000
        assert await queue.hget(keys.prefix(0) + "flow:r|user:u", "hold_until") == b"%d" % until_us

    for number in range(3):
        await accepted(flows, deferral(number))
    for held_s in (1, 2, 4, 8, 16, 32, 60, 60):
        await refused(held_s)
    await make_due(queue, "r|user:u")
    [flow] = await take(flows)
    [job] = (await lease(flows, flow, 1)).jobs
    await flows.settle([Settlement(job, JobStatus.SUCCEEDED, response=StoredResponse(200, [], b""))])
    await give_back(flows, flow)
    await refused(1)
