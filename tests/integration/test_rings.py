"""Flows that share a counter: who has the next turn, and when the ring of them is taken."""

from typing import cast

from redis.asyncio import Redis

from app.queue import keys
from app.queue.flows import Flows
from app.queue.model import FrozenCharge, Lease, TakenRing, Turn, Wait
from app.queue.reads import now_us
from app.redis_wire.scripts import Scripts
from app.rules.active import ActiveRule
from app.settings import Settings
from tests.support.flow_steps import LONG_US, accepted, active, deferral, take, take_units

SHARED = "ip:0.0.0.0/0"


def shared(rule_id: str = "r", revision: int = 1, **fields: int) -> ActiveRule:
    return active(revision, rule_id=rule_id, key_type="ip", key_value="0.0.0.0/0", **fields)


def flow_of(user: str, rule_id: str = "r") -> str:
    return f"{rule_id}|{SHARED};each|user:{user}"


async def defer(flows: Flows, user: str, jobs: int = 1, rule: ActiveRule | None = None) -> list[str]:
    rule = rule or shared()
    charges = (FrozenCharge(rule.rule_id, SHARED, 1), FrozenCharge("each", f"user:{user}", 1))
    return [await accepted(flows, deferral(n, rule, charges=charges, caller=f"user:{user}")) for n in range(jobs)]


async def ring_of(flows: Flows, users: list[str], jobs: int = 5) -> TakenRing:
    """Taken after each of them has waited for the shared counter, in this order."""
    for user in users:
        await defer(flows, user, jobs)
    for flow in sorted(await take(flows, LONG_US), key=lambda flow: users.index(flow.name.rpartition(":")[2])):
        await flows.give_back(flow, Wait(0, f"r|{SHARED}", 1000))
    [ring] = await take_units(flows, LONG_US)
    assert isinstance(ring, TakenRing)
    return ring


async def turn(flows: Flows, ring: TakenRing, *users: str) -> Lease:
    turns = [Turn(flow_of(user), 1, "-") for user in users]
    lease = await flows.lease_turns(ring, turns, consumer="c", keep_us=LONG_US)
    assert lease is not None
    return lease


def names(lease: Lease) -> list[str]:
    return [head.name.rpartition(":")[2] for head in lease.heads]


async def test_a_flow_that_had_its_turn_goes_behind_the_others(flows: Flows) -> None:
    ring = await ring_of(flows, ["ann", "bob", "cleo"])
    assert names(await turn(flows, ring, "ann")) == ["bob", "cleo", "ann"]
    assert names(await turn(flows, ring, "bob", "cleo")) == ["ann", "bob", "cleo"]


async def test_a_ring_is_where_its_flows_are(queue: Redis, queueing: Scripts, settings: Settings) -> None:
    """With several partitions, flows are where their own counters are; they take turns there for another one."""
    partitions = 7
    flows = Flows(queue, queueing, settings.model_copy(update={"queue_partitions": partitions}))
    await flows.prepare()
    own = "ip:192.0.2.0/24"
    partition = keys.partition_of_flow(f"r|{own}", partitions)
    assert partition != keys.partition_of_flow(f"shared|{SHARED}", partitions)
    rule = shared()
    names = ["ann", "bob"]
    for user in names:
        charges = (FrozenCharge("r", own, 1), FrozenCharge("shared", SHARED, 1))
        for number in range(3):
            await accepted(flows, deferral(number, rule, charges=charges, caller=f"user:{user}"))
    for flow in (await flows.take(partition, 10, LONG_US))[1]:
        await flows.give_back(flow, Wait(0, f"shared|{SHARED}", 1000))
    [ring] = (await flows.take(partition, 10, LONG_US))[1]
    assert isinstance(ring, TakenRing)
    turns = [Turn(head.name, 1, "-") for head in ring.heads]
    lease = await flows.lease_turns(ring, turns, consumer="c", keep_us=LONG_US)
    assert lease is not None
    assert len(lease.jobs) == 2
    assert await flows.give_back(ring, Wait(0, ring.counter, 1000))


async def test_every_missed_slot_is_a_turn_to_come(flows: Flows) -> None:
    ring = await ring_of(flows, ["ann", "bob"])
    jobs = [job for _ in range(3) for job in (await turn(flows, ring, "ann", "bob")).jobs]
    await flows.release([job for job in jobs if job.flow == flow_of("bob")])
    order = []
    for _ in range(4):
        order += names(await turn(flows, ring))[:1]
        await turn(flows, ring, order[-1])
    assert order == ["bob", "bob", "bob", "ann"], "three turns were missed, and all three are made up for"


async def test_who_comes_and_goes_gets_no_more_turns_than_those_who_stay(flows: Flows) -> None:
    ring = await ring_of(flows, ["bob", "cleo"], jobs=5)
    order = []
    for _ in range(9):
        await defer(flows, "ann")  # one job, again and again
        await flows.take(0, 10, LONG_US)  # which makes her join
        order += names(await turn(flows, ring))[:1]
        await turn(flows, ring, order[-1])
    assert order.count("ann") == 3, order


HOUR_US = 3_600_000_000


async def test_a_ring_whose_rule_changed_while_a_worker_held_it_is_due_when_it_comes_back(flows: Flows) -> None:
    ring = await ring_of(flows, ["ann", "bob"])
    await flows.reschedule("r", shared(revision=2))
    await flows.give_back(ring, Wait(HOUR_US, ring.counter, 1000, revision=2))
    [ring] = [unit for unit in await take_units(flows, LONG_US) if isinstance(unit, TakenRing)]
    await flows.give_back(ring, Wait(HOUR_US, ring.counter, 1000, revision=2))
    assert await take_units(flows, LONG_US) == [], "once"


async def test_a_ring_is_looked_at_again_if_it_waits_by_an_older_rule_than_the_queue_knows(
    flows: Flows, queue: Redis
) -> None:
    ring = await ring_of(flows, ["ann", "bob"])
    await flows.reschedule("r", shared(revision=2))
    await flows.give_back(ring, Wait(0, ring.counter, 1000))
    [ring] = [unit for unit in await take_units(flows, LONG_US) if isinstance(unit, TakenRing)]
    before_us = await now_us(queue)
    await flows.give_back(ring, Wait(HOUR_US, ring.counter, 1000, revision=1))
    due_us = await queue.zscore(keys.prefix(0) + "due:0", ring.name)
    assert due_us is not None
    assert before_us < due_us <= await now_us(queue) + 100_000


async def test_a_flow_that_left_a_ring_by_an_older_rule_is_looked_at_and_comes_back(flows: Flows) -> None:
    ring = await ring_of(flows, ["ann", "bob", "cleo"])
    await flows.reschedule("r", shared(revision=2))
    elsewhere = Wait(HOUR_US, "each|user:ann", 1000)
    left = Turn(flow_of("ann"), 0, "-", elsewhere=elsewhere)
    lease = await flows.lease_turns(ring, [left], consumer="c", keep_us=LONG_US)
    assert lease is not None
    assert names(lease) == ["bob", "cleo"]
    await flows.take(0, 10, LONG_US)  # which makes her join again
    assert names(await turn(flows, ring)) == ["bob", "cleo", "ann"]


async def test_the_priority_of_a_ring_follows_that_of_its_rules(flows: Flows, queue: Redis) -> None:
    ring = await ring_of(flows, ["ann", "bob"])
    await flows.give_back(ring, Wait(3_600_000_000, ring.counter, 1000))

    async def priority() -> int:
        stands = []
        for name in cast("list[bytes]", await queue.zrange(keys.prefix(0) + "priorities", 0, -1)):
            if await queue.zscore(f"{keys.prefix(0)}due:{name.decode()}", ring.name) is not None:
                stands.append(int(name))
        [only] = stands
        return only

    assert await priority() == 0
    await flows.reschedule("r", shared(revision=2, priority=7))
    assert await priority() == 7, "raised"
    await flows.reschedule("r", shared(revision=3, priority=-2))
    assert await priority() == -2, "lowered"
    [taken] = await take_units(flows, LONG_US)
    assert taken.name == ring.name


async def test_a_ring_keeps_the_priority_of_another_rule_that_is_higher(flows: Flows, queue: Redis) -> None:
    """A flow of a second rule whose jobs are charged for the same counter."""
    ring = await ring_of(flows, ["ann", "bob"])
    await flows.give_back(ring, Wait(3_600_000_000, ring.counter, 1000))
    vip = active(rule_id="vip", priority=5)
    charges = (FrozenCharge("vip", "user:cleo", 1), FrozenCharge("r", SHARED, 1))
    await accepted(flows, deferral(0, vip, charges=charges, caller="user:cleo"))
    await flows.take(0, 10, LONG_US)  # which makes her join
    due = keys.prefix(0) + "due:"
    assert await queue.zscore(due + "5", ring.name) is not None
    await flows.reschedule("r", shared(revision=2, priority=3))
    assert await queue.zscore(due + "5", ring.name) is not None, "her rule has the higher one"
    await flows.reschedule("vip", active(2, rule_id="vip", priority=1))
    assert await queue.zscore(due + "3", ring.name) is not None, "now the other one has"
