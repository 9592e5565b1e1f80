"""The transitions of a flow, on a real Redis."""

import asyncio
from dataclasses import replace
from typing import cast

import pytest
from redis.asyncio import Redis

from app.errors import IdempotencyConflict
from app.jobs.model import JobStatus, StoredResponse
from app.queue import keys
from app.queue.flows import Flows
from app.queue.model import Enqueued, FrozenCharge, Settlement, TakenFlow, Wait
from app.queue.reads import now_us
from app.queue.records import Records
from tests.support.flow_steps import (
    LONG_US,
    accepted,
    active,
    deferral,
    due_us,
    give_back,
    ids,
    lease,
    make_due,
    pending,
    take,
)

HOUR_US = 3_600_000_000
HALF_AN_HOUR_US = HOUR_US // 2


async def test_jobs_are_leased_in_the_order_of_enqueueing(flows: Flows, records: Records, queue: Redis) -> None:
    accepted_ids = [await accepted(flows, deferral(i)) for i in range(5)]
    [flow] = await take(flows)
    assert (flow.rule_id, flow.head.descriptor, flow.head.same_cost, flow.head.depth) == ("r", "user:u", 5, 5)
    first = await lease(flows, flow, 2)
    second = await lease(flows, flow, 9)
    assert ids(first.jobs) + ids(second.jobs) == accepted_ids
    assert [job.request.target for job in first.jobs] == [b"/x?0", b"/x?1"]
    assert first.jobs[0].request.body == b"body 0"
    assert await pending(queue) == 5
    job = await records.get(accepted_ids[0])
    assert job is not None
    assert (job.status, job.attempts) == (JobStatus.RUNNING, 1)


async def test_position_and_eta_follow_the_drain_rate(flows: Flows, records: Records, queue: Redis) -> None:
    asked_us = await now_us(queue)
    answers = [await flows.enqueue(deferral(i, due_in_us=HALF_AN_HOUR_US)) for i in range(3)]
    assert [(a.job.position, a.flow_was_empty) for a in answers if isinstance(a, Enqueued)] == [
        (1, True),
        (2, False),
        (3, False),
    ]
    last = answers[-1]
    assert isinstance(last, Enqueued)
    first_us = await due_us(queue, "r|user:u")
    before_us = await now_us(queue)
    job = await records.get(last.job.id)
    after_us = await now_us(queue)
    assert asked_us + HALF_AN_HOUR_US <= first_us <= before_us + HALF_AN_HOUR_US
    assert job is not None
    assert job.eta_s is not None
    goes_us = first_us + 200_000  # 2 jobs at 10/s are before it
    assert goes_us - after_us <= round(job.eta_s * 1e6) <= goes_us - before_us


async def test_a_taken_flow_is_nobody_elses_until_its_lease_ends(flows: Flows) -> None:
    await accepted(flows, deferral())
    [flow] = await take(flows)
    assert await take(flows) == []
    await give_back(flows, flow)
    [again] = await take(flows)
    assert again.token != flow.token


async def test_what_is_due_in_a_hundred_thousand_years_is_not_due_now(flows: Flows) -> None:
    await accepted(flows, deferral())
    (flow,) = await take(flows)
    await give_back(flows, flow, due_in_us=10**19)
    assert await take(flows) == []


async def test_the_token_decides_who_may_lease(flows: Flows) -> None:
    await accepted(flows, deferral())
    [flow] = await take(flows)
    await give_back(flows, flow)
    [_] = await take(flows)
    assert await flows.lease(flow, 1, consumer="late", keep_us=0) is None


async def test_missed_slots_go_back_in_order_and_their_attempts_with_them(flows: Flows, records: Records) -> None:
    accepted_ids = [await accepted(flows, deferral(i)) for i in range(4)]
    [flow] = await take(flows)
    leased = await lease(flows, flow, 3)
    await flows.release(leased.jobs[1:])
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


async def test_idempotency_keys_stand_for_one_request_of_one_owner(flows: Flows) -> None:
    first = await accepted(flows, deferral(1, idempotency_key="k"))
    again = await flows.enqueue(deferral(1, idempotency_key="k"))
    assert isinstance(again, Enqueued)
    assert (again.job.id, again.known) == (first, True)
    with pytest.raises(IdempotencyConflict):
        await flows.enqueue(deferral(2, idempotency_key="k"))
    assert await accepted(flows, deferral(1, idempotency_key="k", owner="another")) != first
    known = await flows.find_by_idempotency_key([("r", "user:u")], "own", "k", deferral(1).request)
    assert known is not None
    assert known.id == first
    assert await flows.find_by_idempotency_key([("r", "user:u")], "own", "other", deferral(1).request) is None
    with pytest.raises(IdempotencyConflict):
        await flows.find_by_idempotency_key([("r", "user:u")], "own", "k", deferral(2).request)


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


async def test_jobs_of_other_costs_are_leased_by_themselves(flows: Flows) -> None:
    for i, cost in enumerate([1, 1, 3, 1]):
        await accepted(flows, deferral(i, charges=(FrozenCharge("r", "user:u", cost),)))
    [flow] = await take(flows)
    assert flow.head.same_cost == 2
    first = await lease(flows, flow, 4)
    assert (len(first.jobs), first.head.same_cost, first.head.depth) == (2, 1, 2)
    assert first.head.costs == "3"


async def test_flows_with_a_higher_priority_are_taken_first(flows: Flows) -> None:
    await accepted(flows, deferral(user="low"))
    await accepted(flows, deferral(rule=active(rule_id="vip", priority=5), user="high"))
    _, first = await flows.take(0, 1, LONG_US)
    _, second = await flows.take(0, 1, LONG_US)
    assert [flow.head.rule_id for flow in first + second if isinstance(flow, TakenFlow)] == ["vip", "r"]


async def test_a_parked_flow_accepts_and_does_not_drain_until_its_rule_changes(flows: Flows) -> None:
    await accepted(flows, deferral(0, active(revision=5, paused=True)))
    [flow] = await take(flows)
    await flows.park(flow.name, flow.token, 5)
    await accepted(flows, deferral(1, active(revision=5, paused=True)))
    wait_s, taken = await flows.take(0, 10, LONG_US)
    assert (wait_s, taken) == (None, [])
    await flows.reschedule("r", active(revision=6))
    [flow] = await take(flows)
    assert flow.head.depth == 2


async def test_a_worker_with_an_old_rule_does_not_park_a_resumed_flow(flows: Flows, queue: Redis) -> None:
    await accepted(flows, deferral(0, active(revision=5, paused=True)))
    [flow] = await take(flows)
    await flows.reschedule("r", active(revision=6))
    before_us = await now_us(queue)
    await flows.park(flow.name, flow.token, 5)
    after_us = await now_us(queue)
    assert before_us + 100_000 <= await due_us(queue, flow.name) <= after_us + 100_000
    await make_due(queue, flow.name)
    assert len(await take(flows)) == 1


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


async def test_a_flow_whose_rule_changed_while_a_worker_held_it_is_due_when_it_comes_back(flows: Flows) -> None:
    """The worker asked for slots before the change: what it says of the wait is of the old rule."""
    await accepted(flows, deferral())
    [flow] = await take(flows)
    await flows.reschedule("r", active(revision=2, drain=None))
    await flows.give_back(flow, Wait(HOUR_US, "r|user:u", 1000, revision=2))
    [flow] = await take(flows)
    await flows.give_back(flow, Wait(HOUR_US, "r|user:u", 1000, revision=2))
    assert await take(flows) == [], "once: now it is known to whom nothing has changed"


async def test_a_flow_is_looked_at_again_if_it_waits_by_an_older_rule_than_the_queue_knows(
    flows: Flows, queue: Redis
) -> None:
    """A worker that has not heard of the change takes the flow after another worker has rescheduled it."""
    await accepted(flows, deferral())
    await flows.reschedule("r", active(revision=2, drain=None))
    [flow] = await take(flows)
    before_us = await now_us(queue)
    await flows.give_back(flow, Wait(HOUR_US, "r|user:u", 1000, revision=1))
    after_us = await now_us(queue)
    assert before_us + 50_000 <= await due_us(queue, flow.name) <= after_us + 50_000
    await make_due(queue, flow.name)
    [flow] = await take(flows)
    await flows.give_back(flow, Wait(HOUR_US, "r|user:u", 1000, revision=2))
    assert await take(flows) == [], "by the latest rule it does wait"


async def test_a_changed_rate_scales_what_a_flow_waits_for(flows: Flows) -> None:
    await accepted(flows, deferral(due_in_us=100_000_000))  # ten a second

    async def wait_s() -> float:
        answer, taken = await flows.take(0, 10, LONG_US)
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
    for _ in range(2):  # the second one finds the flow open, and empty
        await accepted(flows, deferral(rule=active(revision=4), due_in_us=3_600_000_000))
        [flow] = await take(flows)
        assert len((await lease(flows, flow, 1)).jobs) == 1
        await give_back(flows, flow)


async def test_jobs_that_return_one_by_one_return_in_order(flows: Flows) -> None:
    accepted_ids = [await accepted(flows, deferral(i)) for i in range(6)]
    [flow] = await take(flows)
    jobs = (await lease(flows, flow, 4)).jobs
    for at in (2, 0, 3, 1):
        await flows.release([jobs[at]])
    assert ids((await lease(flows, flow, 9)).jobs) == accepted_ids


async def test_owners_see_their_own_jobs_newest_first(flows: Flows, records: Records) -> None:
    mine = [await accepted(flows, deferral(i)) for i in range(4)]
    await accepted(flows, deferral(9, owner="another"))
    first = await records.page("own", 3)
    assert [job.id for job in first.jobs] == mine[:0:-1]
    last = await records.page("own", 3, first.next)
    assert ([job.id for job in last.jobs], last.next) == (mine[:1], None)


async def test_a_page_of_many_jobs_is_whole_and_in_order(flows: Flows, records: Records) -> None:
    mine = await asyncio.gather(*(accepted(flows, deferral(i)) for i in range(90)))
    first = await records.page("own", 60)
    assert [job.id for job in first.jobs] == mine[:29:-1], "more than one call of the script reads"
    last = await records.page("own", 60, first.next)
    assert ([job.id for job in last.jobs], last.next) == (mine[29::-1], None)
    assert [job.position for job in first.jobs] == list(range(90, 30, -1))


async def test_a_page_goes_on_behind_many_jobs_that_are_forgotten(flows: Flows, records: Records, queue: Redis) -> None:
    oldest = await accepted(flows, deferral(0))
    forgotten = [await accepted(flows, deferral(i)) for i in range(1, 71)]
    await queue.delete(*(keys.record(0, job_id) for job_id in forgotten))
    page = await records.page("own", 10)
    assert ([job.id for job in page.jobs], page.next) == ([oldest], None)
