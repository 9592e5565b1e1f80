"""The transitions of a flow, on a real Redis."""

import asyncio
from dataclasses import replace
from typing import Any, cast

import pytest
from redis.asyncio import Redis

from app.errors import IdempotencyConflict
from app.jobs.model import JobStatus, StoredRequest, StoredResponse, encode_request
from app.jobs.record import Records
from app.limiter.keys import descriptor
from app.queue import keys
from app.queue.flows import Flows
from app.queue.model import Deferral, Enqueued, FrozenCharge, Full, FullReason, Lease, LeasedJob, Settlement, TakenFlow
from app.rules.active import ActiveRule
from app.rules.model import parse_rule
from app.settings import Settings

LOOK = 100
LEASE_US = 200_000


def active(revision: int = 1, **fields: Any) -> ActiveRule:  # noqa: ANN401
    base = {"rule_id": "r", "key_type": "user", "key_value": "*", "limit": 5, "window_seconds": 60, "on_limit": "defer"}
    return ActiveRule(parse_rule(base | {"drain": {"limit": 10, "window_seconds": 1}} | fields), revision)


def deferral(number: int = 0, rule: ActiveRule | None = None, user: str = "u", **more: Any) -> Deferral:  # noqa: ANN401
    whom = descriptor("user", user)
    rule = rule or active()
    request = StoredRequest("POST", b"/x?%d" % number, [(b"content-type", b"text/plain")], b"body %d" % number)
    charges = more.pop("charges", (FrozenCharge(rule.rule_id, whom, 1),))
    return Deferral(rule, whom, charges, more.pop("owner", "own"), request, **more)


REQUEST_BYTES = len(encode_request(deferral(0).request))


@pytest.fixture
async def flows(queue: Redis, settings: Settings) -> Flows:
    flows = Flows(queue, settings)
    await flows.prepare()
    return flows


@pytest.fixture
def records(queue: Redis, settings: Settings) -> Records:
    return Records(queue, settings)


async def accepted(flows: Flows, it: Deferral) -> str:
    answer = await flows.enqueue(it)
    assert isinstance(answer, Enqueued)
    return answer.job.id


async def take(flows: Flows) -> list[TakenFlow]:
    return (await flows.take(0, 100, LEASE_US, LOOK))[1]


async def lease(flows: Flows, flow: TakenFlow, n: int) -> Lease:
    answer = await flows.lease(flow, n, consumer="c", due_in_us=LEASE_US, look=LOOK)
    assert answer is not None
    return answer


async def give_back(flows: Flows, flow: TakenFlow, **more: Any) -> None:  # noqa: ANN401
    await flows.lease(flow, 0, consumer="c", due_in_us=more.pop("due_in_us", 0), look=LOOK, **more)


def ids(jobs: tuple[LeasedJob, ...]) -> list[str]:
    return [job.id for job in jobs]


async def pending(queue: Redis) -> int:
    return int((await queue.xpending(keys.prefix(0) + "jobs", "workers"))["pending"])


async def test_jobs_are_leased_in_the_order_of_enqueueing(flows: Flows, records: Records, queue: Redis) -> None:
    accepted_ids = [await accepted(flows, deferral(i)) for i in range(5)]
    [flow] = await take(flows)
    assert (flow.rule_id, flow.descriptor, flow.run, flow.depth) == ("r", "user:u", 5, 5)
    first = await lease(flows, flow, 2)
    second = await lease(flows, flow, 9)
    assert ids(first.jobs) + ids(second.jobs) == accepted_ids
    assert [job.request.target for job in first.jobs] == [b"/x?0", b"/x?1"]
    assert first.jobs[0].request.body == b"body 0"
    assert await pending(queue) == 5
    job = await records.get(accepted_ids[0])
    assert job is not None
    assert (job.status, job.attempts) == (JobStatus.RUNNING, 1)


async def test_position_and_eta_follow_the_drain_rate(flows: Flows, records: Records) -> None:
    answers = [await flows.enqueue(deferral(i, due_in_us=3_000_000)) for i in range(3)]
    assert [(a.job.position, a.flow_was_empty) for a in answers if isinstance(a, Enqueued)] == [
        (1, True),
        (2, False),
        (3, False),
    ]
    last = answers[-1]
    assert isinstance(last, Enqueued)
    job = await records.get(last.job.id)
    assert job is not None
    assert job.eta_s is not None
    assert 2.2 < job.eta_s <= 3.2  # due in 3 s, then 2 jobs at 10/s before it; generous for a slow machine


async def test_a_taken_flow_is_nobody_elses_until_its_lease_ends(flows: Flows) -> None:
    await accepted(flows, deferral())
    [flow] = await take(flows)
    assert await take(flows) == []
    await give_back(flows, flow)
    [again] = await take(flows)
    assert again.token != flow.token


async def test_the_token_decides_who_may_lease(flows: Flows) -> None:
    await accepted(flows, deferral())
    [flow] = await take(flows)
    await give_back(flows, flow)
    [_] = await take(flows)
    assert await flows.lease(flow, 1, consumer="late", due_in_us=0, look=LOOK) is None


async def test_missed_slots_go_back_in_order_and_their_attempts_with_them(flows: Flows, records: Records) -> None:
    accepted_ids = [await accepted(flows, deferral(i)) for i in range(4)]
    [flow] = await take(flows)
    leased = await lease(flows, flow, 3)
    await flows.unlease(leased.jobs[1:])
    job = await records.get(accepted_ids[1])
    assert job is not None
    assert (job.status, job.attempts, job.position) == (JobStatus.QUEUED, 0, 1)
    assert ids((await lease(flows, flow, 9)).jobs) == accepted_ids[1:]


async def test_the_first_final_outcome_wins(flows: Flows, records: Records, queue: Redis) -> None:
    job_id = await accepted(flows, deferral())
    [flow] = await take(flows)
    [job] = (await lease(flows, flow, 1)).jobs
    answer = StoredResponse(201, [(b"x-y", b"z")], b"\n\x00 made\n")
    stolen = replace(job, lease="another")
    assert await flows.settle([Settlement(stolen, JobStatus.FAILED, "attempts_exhausted", "no")]) == [False]
    assert await flows.settle([Settlement(job, JobStatus.SUCCEEDED, response=answer)]) == [True]
    assert await flows.settle([Settlement(job, JobStatus.FAILED, "attempts_exhausted", "no")]) == [False]
    seen = await records.get(job_id)
    assert seen is not None
    assert (seen.status, seen.response_status, seen.response_stored) == (JobStatus.SUCCEEDED, 201, True)
    assert await records.response(job_id) == answer
    assert await queue.xlen(keys.prefix(0) + "jobs") == 0


async def test_all_that_a_finished_job_leaves_has_a_ttl(flows: Flows, queue: Redis) -> None:
    await accepted(flows, deferral(idempotency_key="k"))
    [flow] = await take(flows)
    [job] = (await lease(flows, flow, 1)).jobs
    await flows.settle([Settlement(job, JobStatus.SUCCEEDED, response=StoredResponse(200, [], b""))])
    await give_back(flows, flow)
    left = {str(key, "utf-8"): await queue.ttl(key) for key in cast("list[bytes]", await queue.keys("*"))}
    assert {key for key, ttl in left.items() if ttl < 0} == {"{q0}:jobs", "{q0}:priorities"}
    assert not [key for key in left if ":flow:" in key or ":due:" in key or ":rule:" in key]


async def test_a_response_too_large_is_not_stored(flows: Flows, records: Records) -> None:
    job_id = await accepted(flows, deferral())
    [flow] = await take(flows)
    [job] = (await lease(flows, flow, 1)).jobs
    await flows.settle([Settlement(job, JobStatus.SUCCEEDED, response=StoredResponse(200, [], None))])
    seen = await records.get(job_id)
    assert seen is not None
    assert (seen.response_status, seen.response_stored) == (200, False)


async def test_retries_return_to_the_head_of_their_flow_in_order(flows: Flows, records: Records) -> None:
    accepted_ids = [await accepted(flows, deferral(i)) for i in range(4)]
    [flow] = await take(flows)
    leased = (await lease(flows, flow, 2)).jobs
    # The one accepted first comes back last.
    assert await flows.retry(leased[0], 0.002, "upstream_error", "500", give_back=False)
    assert await flows.retry(leased[1], 0.001, "upstream_error", "500", give_back=True)
    waiting = await records.get(accepted_ids[0])
    assert waiting is not None
    assert (waiting.status, waiting.attempts) == (JobStatus.RETRYING, 1)
    await give_back(flows, flow)
    await asyncio.sleep(0.01)
    [flow] = await take(flows)
    jobs = (await lease(flows, flow, 9)).jobs
    assert ids(jobs) == accepted_ids
    assert [job.attempt for job in jobs] == [2, 1, 1, 1]


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
    assert 1 <= answer.retry_after_s <= 5


async def test_idempotency_keys_stand_for_one_request_of_one_owner(flows: Flows) -> None:
    first = await accepted(flows, deferral(1, idempotency_key="k"))
    again = await flows.enqueue(deferral(1, idempotency_key="k"))
    assert isinstance(again, Enqueued)
    assert (again.job.id, again.known) == (first, True)
    with pytest.raises(IdempotencyConflict):
        await flows.enqueue(deferral(2, idempotency_key="k"))
    assert await accepted(flows, deferral(1, idempotency_key="k", owner="another")) != first
    known = await flows.known([("r", "user:u")], "own", "k", deferral(1).request)
    assert known is not None
    assert known.id == first
    assert await flows.known([("r", "user:u")], "own", "other", deferral(1).request) is None
    with pytest.raises(IdempotencyConflict):
        await flows.known([("r", "user:u")], "own", "k", deferral(2).request)


async def test_a_canceled_job_is_never_leased_and_the_next_move_up(flows: Flows, records: Records) -> None:
    accepted_ids = [await accepted(flows, deferral(i)) for i in range(3)]
    assert await records.cancel(accepted_ids[0])
    assert await records.cancel(accepted_ids[0]), "canceling again is no error"
    second = await records.get(accepted_ids[1])
    assert second is not None
    assert second.position == 1
    [flow] = await take(flows)
    assert ids((await lease(flows, flow, 9)).jobs) == accepted_ids[1:]
    assert not await records.cancel(accepted_ids[1]), "it runs"
    assert not await records.cancel("0-" + "x" * 22)


async def test_a_run_ends_where_the_charges_change(flows: Flows) -> None:
    own, other = FrozenCharge("r", "user:u", 1), FrozenCharge("i", "ip:10.0.0.1", 2)
    for i, charges in enumerate([(own,), (own,), (own, other), (own,)]):
        await accepted(flows, deferral(i, charges=charges))
    [flow] = await take(flows)
    assert flow.run == 2
    first = await lease(flows, flow, 4)
    assert (len(first.jobs), first.run, first.depth) == (2, 1, 2)
    assert first.charges == "r|user:u|1;i|ip:10.0.0.1|2"


async def test_flows_with_a_higher_priority_are_taken_first(flows: Flows) -> None:
    await accepted(flows, deferral(user="low"))
    await accepted(flows, deferral(rule=active(rule_id="vip", priority=5), user="high"))
    _, first = await flows.take(0, 1, LEASE_US, LOOK)
    _, second = await flows.take(0, 1, LEASE_US, LOOK)
    assert [flow.rule_id for flow in first + second] == ["vip", "r"]


async def test_a_parked_flow_accepts_and_does_not_drain_until_its_rule_changes(flows: Flows) -> None:
    await accepted(flows, deferral(0, active(revision=5, paused=True)))
    [flow] = await take(flows)
    await give_back(flows, flow, parked_at=5)
    await accepted(flows, deferral(1, active(revision=5, paused=True)))
    wait_s, taken = await flows.take(0, 10, LEASE_US, LOOK)
    assert (wait_s, taken) == (None, [])
    await flows.reschedule("r", active(revision=6))
    [flow] = await take(flows)
    assert flow.depth == 2


async def test_a_worker_with_an_old_rule_does_not_park_a_resumed_flow(flows: Flows) -> None:
    await accepted(flows, deferral(0, active(revision=5, paused=True)))
    [flow] = await take(flows)
    await flows.reschedule("r", active(revision=6))
    await give_back(flows, flow, parked_at=5)
    wait_s, _ = await flows.take(0, 10, LEASE_US, LOOK)
    assert wait_s is not None
    assert wait_s <= 0.2


async def test_a_changed_rule_makes_all_its_waiting_flows_due(flows: Flows) -> None:
    users = [f"u{i}" for i in range(1200)]
    await asyncio.gather(*(accepted(flows, deferral(user=user, due_in_us=3_600_000_000)) for user in users))
    assert await take(flows) == []
    assert await flows.rules() == {"r"}
    await flows.reschedule("r", active(revision=2, priority=7, drain={"limit": 10, "window_seconds": 1, "burst": 2}))
    seen: set[str] = set()
    while taken := await take(flows):
        seen |= {flow.name for flow in taken}
    assert len(seen) == len(users)


async def test_a_changed_rate_scales_what_a_flow_waits_for(flows: Flows) -> None:
    await accepted(flows, deferral(due_in_us=100_000_000))  # ten a second

    async def wait_s() -> float:
        answer, taken = await flows.take(0, 10, LEASE_US, LOOK)
        assert answer is not None
        assert not taken
        return answer

    await flows.reschedule("r", active(revision=2, drain={"limit": 1, "window_seconds": 1}))
    assert 90 < await wait_s() <= 100, "slower: it is looked at when it would have been, and waits on then"
    await flows.reschedule("r", active(revision=3, drain={"limit": 2, "window_seconds": 1}))
    assert 45 < await wait_s() <= 50, "twice as fast: half of the wait is left"
    await flows.reschedule("r", active(revision=3, drain={"limit": 4, "window_seconds": 1}))
    assert 45 < await wait_s() <= 50, "another worker has been here"
    await flows.reschedule("r", active(revision=4, drain=None))
    assert len(await take(flows)) == 1, "another counter: it must be asked"


async def test_an_edge_that_is_behind_makes_no_flow_wait_for_an_old_rate(flows: Flows) -> None:
    await flows.reschedule("r", active(revision=5))
    await accepted(flows, deferral(rule=active(revision=4), due_in_us=3_600_000_000))
    assert len(await take(flows)) == 1


async def test_jobs_that_wait_for_too_long_end_where_no_worker_looks(flows: Flows, records: Records) -> None:
    short = active(queue={"max_wait_seconds": 0.05}, drain={"limit": 1000, "window_seconds": 1})
    late = [await accepted(flows, deferral(i, short)) for i in range(3)]
    fresh = await accepted(flows, deferral(3, active(drain={"limit": 1000, "window_seconds": 1})))
    other = await accepted(flows, deferral(4, short, user="v"))
    [flow] = [flow for flow in await take(flows) if flow.name == "r|user:u"]
    await give_back(flows, flow, parked_at=5)
    assert await flows.expire(0) == 0
    await asyncio.sleep(0.1)
    assert await flows.expire(0) == 4
    assert await flows.expire(0) == 0
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
    await asyncio.sleep(0.4)
    assert await flows.expire(0) == 1
    found = await records.get(job_id)
    assert found is not None
    assert (found.status, found.error_code) == (JobStatus.FAILED, "expired")


async def test_jobs_that_return_one_by_one_return_in_order(flows: Flows) -> None:
    accepted_ids = [await accepted(flows, deferral(i)) for i in range(6)]
    [flow] = await take(flows)
    jobs = (await lease(flows, flow, 4)).jobs
    for at in (2, 0, 3, 1):
        await flows.unlease([jobs[at]])
    assert ids((await lease(flows, flow, 9)).jobs) == accepted_ids


@pytest.mark.parametrize("change", [{"queue_max_jobs": 3}, {"queue_max_bytes": 3 * REQUEST_BYTES + 10}])
async def test_the_queue_as_a_whole_has_caps(queue: Redis, settings: Settings, change: dict[str, int]) -> None:
    flows = Flows(queue, settings.model_copy(update=change))
    await flows.prepare()
    for i in range(3):
        await accepted(flows, deferral(i, user=f"u{i}"))
    assert await flows.enqueue(deferral(3, user="v")) == Full(FullReason.MEMORY, 1)
    [flow, *_] = await take(flows)
    [job] = (await lease(flows, flow, 1)).jobs
    await flows.settle([Settlement(job, JobStatus.SUCCEEDED, response=StoredResponse(200, [], b""))])
    await accepted(flows, deferral(4, user="v"))
    assert await flows.enqueue(deferral(5, user="w")) == Full(FullReason.MEMORY, 1)


async def test_memory_is_left_for_settling(flows: Flows, queue: Redis, records: Records) -> None:
    first = await accepted(flows, deferral(0))
    used = int((await queue.info("memory"))["used_memory"])
    await queue.config_set("maxmemory", int(used / 0.79))
    try:
        large = deferral(1)
        large = replace(large, request=replace(large.request, body=bytes(used // 20)))
        assert await flows.enqueue(large) == Full(FullReason.MEMORY, 1)
        [flow] = await take(flows)
        [job] = (await lease(flows, flow, 1)).jobs
        await flows.settle([Settlement(job, JobStatus.SUCCEEDED, response=StoredResponse(200, [], bytes(1000)))])
    finally:
        await queue.config_set("maxmemory", 0)
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
    assert await flows.lease(flow, 1, consumer="busy", due_in_us=LEASE_US, look=LOOK)
    await flows.reclaim(0, "here", 3600, forgotten_after_s=0)
    assert {one["name"] for one in await queue.xinfo_consumers(stream, "workers")} == {b"here", b"busy"}


async def test_a_sealed_request_that_was_changed_ends_unsent(queue: Redis, settings: Settings) -> None:
    flows = Flows(queue, settings.model_copy(update={"envelope_keys": {"k": bytes(32)}}))
    await flows.prepare()
    changed = await accepted(flows, deferral(0, seal=True))
    whole = await accepted(flows, deferral(1, seal=True))
    key = keys.record(0, changed)
    stored = cast("bytes", await queue.hget(key, "request"))
    await queue.hset(key, "request", stored[:-1] + bytes([stored[-1] ^ 1]))
    [flow] = await take(flows)
    [job] = (await lease(flows, flow, 5)).jobs
    assert (job.id, job.request.body) == (whole, b"body 1")
    found = await Records(queue, settings).get(changed)
    assert found is not None
    assert (found.status, found.error_message) == (
        JobStatus.FAILED,
        "The stored request cannot be read: it was changed.",
    )


async def test_owners_see_their_own_jobs_newest_first(flows: Flows, records: Records) -> None:
    mine = [await accepted(flows, deferral(i)) for i in range(4)]
    await accepted(flows, deferral(9, owner="another"))
    assert [job.id for job in await records.list("own", 3)] == mine[:0:-1]
    assert [job.id for job in await records.list("own", 3, before=mine[1])] == mine[:1]
