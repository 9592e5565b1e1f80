"""What is said of a flow while a worker holds it: when it goes on, and not when the worker's flow lease ends."""

import pytest

from app.queue.flows import Flows
from app.queue.model import Enqueued, FrozenCharge, Full, FullReason, TakenRing, Turn, Wait
from app.queue.records import Records
from tests.support.flow_steps import LONG_US, accepted, active, deferral, give_back, take, take_units

SHARED = "ip:0.0.0.0/0"
INTERVAL_S = 100.0
RULE = active(drain={"limit": 1, "window_seconds": INTERVAL_S})
SLACK_S = 30.0
"""How long a test may take between two of its steps."""


async def eta(records: Records, job_id: str) -> float:
    job = await records.get(job_id)
    assert job is not None
    assert job.eta_s is not None
    return job.eta_s


async def eta_of_another(flows: Flows) -> float:
    answer = await flows.enqueue(deferral(9, RULE))
    assert isinstance(answer, Enqueued)
    assert answer.job.eta_s is not None
    return answer.job.eta_s


async def test_a_flow_that_was_taken_goes_on_at_once(flows: Flows, records: Records) -> None:
    jobs = [await accepted(flows, deferral(i, RULE)) for i in range(2)]
    await take(flows, LONG_US)
    assert await eta(records, jobs[0]) == 0
    assert await eta(records, jobs[1]) == pytest.approx(INTERVAL_S)
    assert await eta_of_another(flows) == pytest.approx(2 * INTERVAL_S)


async def test_a_flow_of_which_jobs_are_leased_goes_on_at_its_next_slot(flows: Flows, records: Records) -> None:
    jobs = [await accepted(flows, deferral(i, RULE)) for i in range(3)]
    [flow] = await take(flows, LONG_US)
    assert await flows.lease(flow, 1, consumer="c", keep_us=LONG_US, next_us=int(INTERVAL_S * 1e6))
    assert INTERVAL_S - SLACK_S < await eta(records, jobs[1]) <= INTERVAL_S
    assert 2 * INTERVAL_S - SLACK_S < await eta(records, jobs[2]) <= 2 * INTERVAL_S
    assert 3 * INTERVAL_S - SLACK_S < await eta_of_another(flows) <= 3 * INTERVAL_S
    await give_back(flows, flow, int(INTERVAL_S * 3e6))
    assert 3 * INTERVAL_S - SLACK_S < await eta(records, jobs[1]) <= 3 * INTERVAL_S, "nobody holds it any more"


async def test_who_would_wait_for_too_long_is_refused_while_jobs_are_leased(flows: Flows) -> None:
    rule = active(drain={"limit": 1, "window_seconds": 100}, queue={"max_wait_seconds": 250})
    for i in range(3):
        await accepted(flows, deferral(i, rule))
    [flow] = await take(flows, LONG_US)
    assert await flows.lease(flow, 1, consumer="c", keep_us=LONG_US, next_us=100_000_000)
    answer = await flows.enqueue(deferral(3, rule))
    assert isinstance(answer, Full)
    assert answer.reason is FullReason.WAIT
    assert 50 - SLACK_S < answer.retry_after_s <= 51, "there are 300 s to wait for"


async def test_a_full_flow_has_room_when_a_job_has_been_answered(flows: Flows) -> None:
    rule = active(drain={"limit": 1, "window_seconds": 1}, queue={"max_depth": 1})
    await accepted(flows, deferral(0, rule, due_in_us=1_000_000))
    assert await flows.enqueue(deferral(1, rule)) == Full(FullReason.DEPTH, 2), "it is sent in 1 s, and ends after that"


async def test_flows_of_a_ring_that_is_held_go_on_at_its_next_slot(flows: Flows, records: Records) -> None:
    jobs = {}
    for user in ("ann", "bob"):
        charges = (FrozenCharge("r", SHARED, 1), FrozenCharge("each", f"user:{user}", 1))
        rule = active(key_type="ip", key_value="0.0.0.0/0", drain={"limit": 1, "window_seconds": INTERVAL_S})
        jobs[user] = [
            await accepted(flows, deferral(n, rule, charges=charges, caller=f"user:{user}")) for n in range(2)
        ]
    for flow in sorted(await take(flows, LONG_US), key=lambda flow: flow.name):
        await flows.give_back(flow, Wait(0, f"r|{SHARED}", int(INTERVAL_S * 1e6)))
    [ring] = await take_units(flows, LONG_US)
    assert isinstance(ring, TakenRing)
    assert await eta(records, jobs["ann"][0]) == 0
    assert await eta(records, jobs["bob"][0]) == pytest.approx(INTERVAL_S)
    turns = [Turn(ring.heads[0].name, 1, "-")]
    next_us = int(INTERVAL_S * 1e6)
    assert await flows.lease_turns(ring, turns, consumer="c", keep_us=LONG_US, next_us=next_us)
    assert INTERVAL_S - SLACK_S < await eta(records, jobs["bob"][0]) <= INTERVAL_S
    assert 2 * INTERVAL_S - SLACK_S < await eta(records, jobs["ann"][1]) <= 2 * INTERVAL_S
