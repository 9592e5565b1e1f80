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
from app.queue.records import Records
from app.redis_wire.scripts import Scripts
from app.settings import Settings
from tests.support.flow_steps import (
    LEASE_US,
    REQUEST_BYTES,
    accepted,
    active,
    deferral,
    give_back,
    ids,
    lease,
    take,
)
from tests.support.waiting import eventually


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


async def test_extended_leases_are_not_reclaimed(flows: Flows) -> None:
    await accepted(flows, deferral())
    [flow] = await take(flows)
    leased = (await lease(flows, flow, 1)).jobs
    await asyncio.sleep(0.3)
    await flows.extend(leased, "c")
    assert await flows.reclaim(0, "other", 0.3) == (0, 0)
    assert await flows.reclaim(0, "other", 0) == (1, 0)


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


async def test_jobs_that_wait_for_too_long_end_where_no_worker_looks(flows: Flows, records: Records) -> None:
    short = active(queue={"max_wait_seconds": 2}, drain={"limit": 1000, "window_seconds": 1})
    late = [await accepted(flows, deferral(i, short)) for i in range(3)]
    fresh = await accepted(flows, deferral(3, active(drain={"limit": 1000, "window_seconds": 1})))
    other = await accepted(flows, deferral(4, short, user="v"))
    [flow] = [flow for flow in await take(flows) if flow.name == "r|user:u"]
    await flows.park(flow.name, flow.token, 5)
    assert await flows.expire(0) == 0
    expired = 0

    async def all_expired() -> bool:
        nonlocal expired
        expired += await flows.expire(0)
        return expired >= 4

    await eventually(all_expired, 30, "all that waited for too long have ended")
    assert (expired, await flows.expire(0)) == (4, 0)
    for job_id in (*late, other):
        job = await records.get(job_id)
        assert job is not None
        assert (job.status, job.error_code) == (JobStatus.FAILED, "expired")
    job = await records.get(fresh)
    assert job is not None
    assert (job.status, job.position) == (JobStatus.QUEUED, 1)


async def test_a_retry_that_would_come_too_late_ends_in_time(flows: Flows, records: Records) -> None:
    short = active(queue={"max_wait_seconds": 0.3}, drain={"limit": 1000, "window_seconds": 1})
    job_id = await accepted(flows, deferral(0, short))
    [flow] = await take(flows)
    [job] = (await lease(flows, flow, 1)).jobs
    assert await flows.retry(job, 3600, "upstream_error", "It failed.", give_back=False)

    async def expired() -> bool:
        return await flows.expire(0) == 1

    await eventually(expired, 30, "its time is over")
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
    assert await flows.lease(flow, 1, consumer="busy", keep_us=LEASE_US)
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

    async def refused() -> float:
        """For how long the flow is held then, in seconds."""
        await queue.zadd(keys.prefix(0) + "due:0", {"r|user:u": 1})  # the last hold is over
        await queue.hset(keys.prefix(0) + "flow:r|user:u", "hold_until", "1")
        [flow] = await take(flows)
        [job] = (await lease(flows, flow, 1)).jobs
        assert await flows.hold(job, 1.0, 60.0, 0.0, "upstream_unavailable", "429")
        wait_s, taken = await flows.take(0, 10, LEASE_US)
        assert taken == []
        assert wait_s is not None
        return wait_s

    for number in range(3):
        await accepted(flows, deferral(number))
    holds = [await refused() for _ in range(8)]
    assert holds == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60], rel=0.5)
    assert holds[:6] == sorted(holds[:6])
    await queue.zadd(keys.prefix(0) + "due:0", {"r|user:u": 1})
    [flow] = await take(flows)
    [job] = (await lease(flows, flow, 1)).jobs
    await flows.settle([Settlement(job, JobStatus.SUCCEEDED, response=StoredResponse(200, [], b""))])
    await give_back(flows, flow)
    assert await refused() == pytest.approx(1, rel=0.5)
