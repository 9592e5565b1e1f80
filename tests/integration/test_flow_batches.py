"""What one script does for many jobs is what it would do for each, on a real Redis."""

import asyncio
from dataclasses import replace

from redis.asyncio import Redis

from app.jobs.model import JobStatus, StoredResponse
from app.queue import keys
from app.queue.flows import Flows
from app.queue.model import FrozenCharge, Settlement, Wait
from app.queue.records import Records
from tests.support.flow_steps import REQUEST_BYTES, accepted, active, deferral, give_back, ids, lease, pending, take

OK = StoredResponse(200, [], b"fine")


async def _totals(queue: Redis) -> tuple[int, int]:
    jobs, size = await queue.hmget(keys.prefix(0) + "totals", ["jobs", "bytes"])
    return int(jobs or 0), int(size or 0)


async def test_outcomes_of_several_flows_and_owners_are_stored_at_once(
    flows: Flows, records: Records, queue: Redis
) -> None:
    for user in ("a", "b"):
        for number in range(3):
            await accepted(flows, deferral(number, user=user, owner=f"own-{user}"))
    jobs = [job for flow in await take(flows) for job in (await lease(flows, flow, 2)).jobs]
    assert (len(jobs), await pending(queue), await _totals(queue)) == (4, 4, (6, 6 * REQUEST_BYTES))
    ended = [Settlement(job, JobStatus.SUCCEEDED, response=OK) for job in jobs[:3]]
    assert await flows.settle([*ended, Settlement(jobs[3], JobStatus.FAILED, "x", "y")]) == [True] * 4
    found = [await records.get(job.id) for job in jobs]
    assert [job.status for job in found if job] == [JobStatus.SUCCEEDED] * 3 + [JobStatus.FAILED]
    assert [job.expires_at_ms is not None for job in found if job] == [True] * 4
    assert (await pending(queue), await _totals(queue)) == (0, (2, 2 * REQUEST_BYTES))
    assert await queue.xlen(keys.prefix(0) + "jobs") == 2
    assert [await queue.zcard(f"{keys.prefix(0)}owner:own-{user}") for user in ("a", "b")] == [3, 3]
    assert [await queue.hget(f"{keys.prefix(0)}flow:r|user:{user}", "open") for user in ("a", "b")] == [b"1", b"1"]


async def test_the_last_outcomes_of_a_batch_take_their_flow_along(flows: Flows, queue: Redis) -> None:
    for number in range(3):
        await accepted(flows, deferral(number))
    [flow] = await take(flows)
    leased = (await lease(flows, flow, 3)).jobs
    assert await flows.settle([Settlement(job, JobStatus.SUCCEEDED, response=OK) for job in leased]) == [True] * 3
    names = [name.decode() if isinstance(name, bytes) else name for name in await queue.keys(keys.prefix(0) + "*")]
    left = {name.removeprefix(keys.prefix(0)) for name in names}
    kept = {"jobs", "clock", "priorities", "owner:own", "outcomes", "outcomes:kept"}
    assert {name for name in left if not name.startswith("job:")} == kept


async def test_a_job_that_is_in_a_batch_twice_ends_once(flows: Flows, queue: Redis) -> None:
    for number in range(2):
        await accepted(flows, deferral(number))
    [flow] = await take(flows)
    [job] = (await lease(flows, flow, 1)).jobs
    twice = [Settlement(job, JobStatus.SUCCEEDED, response=OK), Settlement(job, JobStatus.FAILED, "x", "y")]
    assert await flows.settle(twice) == [True, False]
    assert await _totals(queue) == (1, REQUEST_BYTES)


async def test_what_is_past_its_time_makes_room_for_others_in_the_same_lease(
    flows: Flows, records: Records, queue: Redis
) -> None:
    short = active(queue={"max_wait_seconds": 1})
    late = [await accepted(flows, deferral(number, short)) for number in range(2)]
    in_time = [await accepted(flows, deferral(number)) for number in range(2, 5)]
    await asyncio.sleep(1.1)
    [flow] = await take(flows)
    leased = await lease(flows, flow, 3)
    assert ids(leased.jobs) == in_time
    found = [await records.get(job_id) for job_id in late]
    assert [job.error_code for job in found if job] == ["expired", "expired"]
    assert (await pending(queue), await _totals(queue)) == (3, (3, 3 * REQUEST_BYTES))
    assert (leased.head.same_cost, leased.head.depth) == (0, 0)


async def _commands(queue: Redis) -> int:
    """How many commands this Redis has executed, without the calls of scripts and those of this function."""
    stats = await queue.info("commandstats")
    return sum(stat["calls"] for name, stat in stats.items() if name not in ("cmdstat_evalsha", "cmdstat_info"))


async def test_flows_of_one_job_are_taken_leased_and_given_back_with_few_commands_each(
    flows: Flows, queue: Redis
) -> None:
    """What is known of the leases of many flows is read, written and removed at once."""
    users = [f"u{number}" for number in range(64)]
    await asyncio.gather(*(accepted(flows, deferral(user=user)) for user in users))
    before = await _commands(queue)
    taken = await take(flows)
    leases = await asyncio.gather(*(lease(flows, flow, 1) for flow in taken))
    await asyncio.gather(*(give_back(flows, flow) for flow in taken))
    assert [len(one.jobs) for one in leases] == [1] * len(users)
    assert await _commands(queue) - before <= 4 * len(users)


async def test_a_flow_that_a_worker_has_moves_with_its_priority(flows: Flows, queue: Redis) -> None:
    for number in range(2):
        await accepted(flows, deferral(number))
    [flow] = await take(flows)
    await flows.reschedule("r", active(revision=2, priority=7))
    for left in (1, 0):
        assert len((await lease(flows, flow, 1)).jobs) == 1
        due = [await queue.zcard(f"{keys.prefix(0)}due:{priority}") for priority in (0, 7)]
        assert due == [0, left], "it stands in one place as long as it has jobs"


async def test_a_job_of_other_costs_that_comes_while_a_worker_has_the_flow_is_leased_by_itself(flows: Flows) -> None:
    first = await accepted(flows, deferral(0))
    [flow] = await take(flows)
    dear = await accepted(flows, deferral(1, charges=(FrozenCharge("r", "user:u", 3),)))
    leased = await lease(flows, flow, 2)
    assert (ids(leased.jobs), leased.head.same_cost, leased.head.costs) == ([first], 1, "3")
    assert ids((await lease(flows, replace(flow, head=leased.head), 2)).jobs) == [dear]


async def test_a_worker_that_says_that_all_was_sent_has_its_flow_still(flows: Flows) -> None:
    for number in range(2):
        await accepted(flows, deferral(number))
    [flow] = await take(flows)
    for _ in range(2):
        assert len((await lease(flows, flow, 1)).jobs) == 1
        await flows.sent([flow.name], flow.token)
    assert await flows.give_back(flow, Wait(0))
