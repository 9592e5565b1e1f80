"""A flow between workers: nobody passes jobs that another may still have in hand, and nobody waits for no reason."""

import asyncio
from typing import cast

import pytest
from redis.asyncio import Redis

from app.jobs.model import JobStatus
from app.queue import keys
from app.queue.flow_leases import MAX_LEASED_AT_ONCE
from app.queue.flows import Flows
from app.queue.model import Enqueued, FrozenCharge, Settlement, TakenFlow, TakenRing, Turn, Wait
from tests.support.flow_steps import LONG_US, accepted, active, deferral, give_back, ids, lease, take, take_units

FLOW = "r|user:u"
DUE = keys.prefix(0) + "due:0"
SHARED = "ip:0.0.0.0/0"


async def flow_lease_ends(queue: Redis, unit: str = FLOW) -> None:
    """As if the worker that took it had been stopped for so long."""
    await queue.zadd(DUE, {unit: 1}, xx=True)


async def due_at_us(queue: Redis) -> float:
    score = await queue.zscore(DUE, FLOW)
    assert score is not None
    return float(score)


async def enqueued(flows: Flows, number: int) -> Enqueued:
    answer = await flows.enqueue(deferral(number))
    assert isinstance(answer, Enqueued)
    return answer


async def emptied(flows: Flows) -> TakenFlow:
    """A flow of which the only job is in flight."""
    await accepted(flows, deferral(0))
    [flow] = await take(flows, LONG_US)
    assert (await lease(flows, flow, 1, LONG_US)).head.depth == 0
    return flow


async def test_a_job_that_comes_into_an_emptied_flow_is_due_at_once(flows: Flows, queue: Redis) -> None:
    await give_back(flows, await emptied(flows))
    second = await enqueued(flows, 1)
    assert await due_at_us(queue) == second.at_us, "though the first one has no answer yet"


async def test_a_job_that_comes_before_an_emptied_flow_is_given_back_is_due_when_its_counter_permits(
    flows: Flows, queue: Redis
) -> None:
    flow = await emptied(flows)
    second = await enqueued(flows, 1)
    assert await due_at_us(queue) > second.at_us, "the slots that the worker has may be still to come"
    await give_back(flows, flow, due_in_us=1000)
    after = await enqueued(flows, 2)
    assert second.at_us + 1000 <= await due_at_us(queue) <= after.at_us + 1000


async def test_jobs_that_a_stopped_worker_has_in_hand_go_before_those_behind_them(flows: Flows, queue: Redis) -> None:
    accepted_ids = [await accepted(flows, deferral(number)) for number in range(4)]
    [flow] = await take(flows, LONG_US)
    in_hand = (await lease(flows, flow, 2, LONG_US)).jobs
    await flow_lease_ends(queue)
    assert await take(flows, LONG_US) == [], "both may not have been sent"
    await flow_lease_ends(queue)
    await flows.release(in_hand[1:])
    [again] = await take(flows, LONG_US)
    assert ids((await lease(flows, again, 9, LONG_US)).jobs) == accepted_ids[1:]


async def test_a_worker_that_comes_back_has_its_flow_still(flows: Flows, queue: Redis) -> None:
    accepted_ids = [await accepted(flows, deferral(number)) for number in range(4)]
    [flow] = await take(flows, LONG_US)
    await lease(flows, flow, 2, LONG_US)
    await flow_lease_ends(queue)
    assert await take(flows, LONG_US) == []
    assert ids((await lease(flows, flow, 1, LONG_US)).jobs) == accepted_ids[2:3]
    await give_back(flows, flow)
    [again] = await take(flows, LONG_US)
    assert ids((await lease(flows, again, 9, LONG_US)).jobs) == accepted_ids[3:]


async def test_an_outcome_of_the_last_one_says_that_all_were_sent(flows: Flows, queue: Redis) -> None:
    accepted_ids = [await accepted(flows, deferral(number)) for number in range(4)]
    [flow] = await take(flows, LONG_US)
    first, second = (await lease(flows, flow, 2, LONG_US)).jobs
    await flows.settle([Settlement(first, JobStatus.FAILED, "attempts_exhausted", "500")])
    await flow_lease_ends(queue)
    assert await take(flows, LONG_US) == [], "the second may not have been sent"
    await flow_lease_ends(queue)
    assert await flows.retry(second, 60, "upstream_error", "500", give_back=False)
    [again] = await take(flows, LONG_US)
    assert ids((await lease(flows, again, 9, LONG_US)).jobs) == accepted_ids[2:]


async def test_the_jobs_of_a_worker_that_vanished_go_before_those_behind_them(flows: Flows, queue: Redis) -> None:
    accepted_ids = [await accepted(flows, deferral(number)) for number in range(4)]
    [flow] = await take(flows, LONG_US)
    await lease(flows, flow, 2, LONG_US)
    await flow_lease_ends(queue)
    assert await take(flows, LONG_US) == []
    assert await flows.reclaim(0, "other", 0) == (2, 0)
    await flow_lease_ends(queue)
    [again] = await take(flows, LONG_US)
    assert ids((await lease(flows, again, 9, LONG_US)).jobs) == accepted_ids


async def test_a_job_that_was_held_back_by_an_answer_waits_for_what_its_worker_has_in_hand(
    flows: Flows, queue: Redis
) -> None:
    accepted_ids = [await accepted(flows, deferral(number)) for number in range(4)]
    [flow] = await take(flows, LONG_US)
    first, second = (await lease(flows, flow, 2, LONG_US)).jobs
    assert await flows.hold(first, 0.001, 0.001, 0.0, "upstream_unavailable", "503")
    await flow_lease_ends(queue)
    assert await take(flows, LONG_US) == [], "the second may be sent, or return"
    await flows.release([second])
    assert not await flows.give_back(flow, Wait(0)), "the answer has taken it from its worker"
    await flow_lease_ends(queue)
    [again] = await take(flows, LONG_US)
    assert ids((await lease(flows, again, 9, LONG_US)).jobs) == accepted_ids


# ------------------------------------------------------------------------------------------------------------- rings


def shared_flow(user: str) -> str:
    return f"r|{SHARED};each|user:{user}"


async def ring_of(flows: Flows, *users: str) -> TakenRing:
    rule = active(key_type="ip", key_value="0.0.0.0/0")
    for user in users:
        charges = (FrozenCharge("r", SHARED, 1), FrozenCharge("each", f"user:{user}", 1))
        for number in range(3):
            await accepted(flows, deferral(number, rule, charges=charges, caller=f"user:{user}"))
    for flow in await take(flows, LONG_US):
        await flows.give_back(flow, Wait(0, f"r|{SHARED}", 1000))
    [ring] = await take_units(flows, LONG_US)
    assert isinstance(ring, TakenRing)
    return ring


async def heads(flows: Flows) -> tuple[TakenRing, list[str]]:
    [ring] = [unit for unit in await take_units(flows, LONG_US) if isinstance(unit, TakenRing)]
    return ring, sorted(head.name.rpartition(":")[2] for head in ring.heads)


async def test_a_flow_of_which_a_stopped_worker_has_jobs_in_hand_holds_up_nobody_in_its_ring(
    flows: Flows, queue: Redis
) -> None:
    ring = await ring_of(flows, "ann", "bob", "cleo")
    turn = [Turn(shared_flow("ann"), 1, "-")]
    leased = await flows.lease_turns(ring, turn, consumer="c", keep_us=LONG_US)
    assert leased is not None
    await flow_lease_ends(queue, ring.name)
    others, names = await heads(flows)
    assert names == ["bob", "cleo"]
    await flows.release(leased.jobs)
    await flow_lease_ends(queue, shared_flow("ann"))
    await flows.take(0, 10, LONG_US)  # which makes her join again
    await flows.give_back(others, Wait(0, ring.counter, 1000))
    assert (await heads(flows))[1] == ["ann", "bob", "cleo"]


async def test_a_ring_goes_to_the_next_worker_though_requests_are_in_flight(flows: Flows) -> None:
    ring = await ring_of(flows, "ann", "bob")
    turns = [Turn(shared_flow(user), 1, "-") for user in ("ann", "bob")]
    assert await flows.lease_turns(ring, turns, consumer="c", keep_us=LONG_US)
    await flows.sent([shared_flow("ann")], ring.token)
    await flows.give_back(ring, Wait(0, ring.counter, 1000))
    assert (await heads(flows))[1] == ["ann"], "of bob's nobody knows"


# ------------------------------------------------------------------------------------------------ the queue's own clock


async def test_a_clock_that_steps_back_lets_no_flow_sleep(flows: Flows, queue: Redis) -> None:
    """The flows and the job were to be due in a second by a clock that was ten minutes ahead."""
    users = [f"u{number}" for number in range(250)]
    for user in users:
        await accepted(flows, deferral(user=user))
    backing_off = (await take(flows, LONG_US))[0]
    [job] = (await lease(flows, backing_off, 1, LONG_US)).jobs
    await flows.retry(job, 601, "upstream_error", "500", give_back=False)
    await flows.take(0, 0, LONG_US)
    ahead_us = int(cast("bytes", await queue.get(keys.prefix(0) + "clock"))) + 600_000_000
    for member in cast("list[bytes]", await queue.zrange(DUE, 0, -1)):
        await queue.zadd(DUE, {member.decode(): ahead_us})
    await queue.set(keys.prefix(0) + "clock", ahead_us)
    seen: set[str] = set()
    for _ in range(20):
        seen |= {flow.name for flow in await take(flows, LONG_US)}
    assert len(seen) == len(users)
    assert await queue.zcard(keys.prefix(0) + "retry") == 0
    assert not await queue.exists(keys.prefix(0) + "rewind")


async def test_a_clock_that_goes_on_hurries_nothing(flows: Flows) -> None:
    await accepted(flows, deferral(due_in_us=600_000_000))
    for _ in range(5):
        wait_s, taken = await flows.take(0, 10, LONG_US)
        assert taken == []
        assert wait_s is not None
        assert wait_s > 590


@pytest.mark.parametrize("depths", [(32,), (33,), (96,), (20, 12), (27, 5, 1)], ids=str)
async def test_flows_that_have_fewer_jobs_than_are_wanted_give_each_once(flows: Flows, depths: tuple[int, ...]) -> None:
    """A call reads 32 jobs at a time; more are wanted where jobs were canceled after the flow was taken."""
    waiting = {
        f"r|user:{user}": [await accepted(flows, deferral(number, user=str(user))) for number in range(depth)]
        for user, depth in enumerate(depths)
    }
    taken = await take(flows, LONG_US)
    each = MAX_LEASED_AT_ONCE // len(depths)
    leases = await asyncio.gather(*(lease(flows, flow, each, LONG_US) for flow in taken))
    assert {flow.name: ids(leased.jobs) for flow, leased in zip(taken, leases, strict=True)} == waiting
    assert [leased.head.depth for leased in leases] == [0] * len(depths)
