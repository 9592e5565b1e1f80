"""Flows that share a counter: whatever is done to them, each that waits stands in one place, and is never lost."""

import asyncio
from collections import Counter, defaultdict
from typing import cast

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from app.jobs.model import JobStatus
from app.queue.model import Enqueued, FrozenCharge, LeasedJob, Settlement, TakenFlow, TakenRing, Turn, Wait
from app.rules.active import ActiveRule
from app.settings import Settings
from tests.support.flow_machine import CHOICES, PREFIX, Choices, FlowMachine, run_machine
from tests.support.flow_steps import LONG_US, active, deferral

USERS = ("ann", "bob", "cleo", "dan")
SHARED = "r|ip:0.0.0.0/0"
INTERVAL_US = 1000
STEPS = (
    "enqueue", "enqueue", "take", "take", "serve", "serve", "serve", "give_back", "give_back", "attempts_end",
    "attempts_end", "cancel", "reschedule", "reclaim", "forget_leases",
)  # fmt: skip


def own_counter(user: str) -> str:
    return f"each|user:{user}"


def flow_of(user: str) -> str:
    return f"{SHARED};{own_counter(user)}"


class RingMachine(FlowMachine):
    """Workers that take whatever is due, serve it in any way, give it back in any way, or go away."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: dict[str, list[str]] = defaultdict(list)
        self.accepted: list[str] = []
        self.running: dict[str, LeasedJob] = {}
        self.held: dict[str, TakenFlow | TakenRing] = {}
        self.unsent: dict[str, tuple[str, str]] = {}
        """The last job of a flow that was leased, and with which token, until that worker says that all were sent."""
        self.parked: set[str] = set()
        self.revision = 1
        self.priority = 0

    @initialize()
    def begin_with_jobs(self) -> None:
        for user in USERS[:3]:
            self._enqueue(user, 2)

    @rule(name=st.sampled_from(STEPS), choices=CHOICES)
    def step(self, name: str, choices: Choices) -> None:
        """One rule for all steps: of many rules hypothesis leaves some out, and a job needs several to get on."""
        getattr(self, name)(choices)

    # ------------------------------------------------------------------------------------------------------- steps

    def enqueue(self, choices: Choices) -> None:
        self._enqueue(choices.one_of(USERS), choices.up_to(3))

    def _enqueue(self, user: str, jobs: int) -> None:
        charges = (FrozenCharge("r", "ip:0.0.0.0/0", 1), FrozenCharge("each", f"user:{user}", 1))
        for _ in range(jobs):
            asked = deferral(len(self.accepted), self._rule(), charges=charges, caller=f"user:{user}")
            answer = self.run(self.flows.enqueue(asked))
            assert isinstance(answer, Enqueued)
            assert answer.job.flow == flow_of(user)
            self.waiting[flow_of(user)].append(answer.job.id)
            self.accepted.append(answer.job.id)

    def _rule(self) -> ActiveRule:
        return active(self.revision, key_type="ip", key_value="0.0.0.0/0", priority=self.priority)

    def take(self, choices: Choices) -> None:
        most = choices.up_to(4)
        for unit in self.run(self.flows.take(0, most, LONG_US))[1]:
            self.held[unit.name] = unit
            heads = unit.heads if isinstance(unit, TakenRing) else (unit.head,)
            for head in heads:
                assert head.depth == len(self.waiting[head.name]), "a worker is told the truth"
                assert head.name not in self.parked
                assert not self._may_be_unsent(head.name), "nobody passes jobs that another may have in hand"

    def serve(self, choices: Choices) -> None:
        """Lease some jobs of something that a worker holds; of a ring also let flows wait elsewhere, or park them."""
        if not self.held:
            return
        unit = self.held[choices.one_of(sorted(self.held))]
        if isinstance(unit, TakenFlow):
            self._serve_flow(unit, choices)
        else:
            self._serve_ring(unit, choices)

    def _serve_flow(self, unit: TakenFlow, choices: Choices) -> None:
        lease = self.run(self.flows.lease(unit, choices.up_to(2), consumer="c", keep_us=LONG_US))
        if lease is None:
            del self.held[unit.name]
        else:
            self._leased(lease.jobs, unit.token)

    def _serve_ring(self, unit: TakenRing, choices: Choices) -> None:
        turns = []
        for head in unit.heads:
            user = head.name.rpartition(":")[2]
            what = choices.one_of(["sends", "sends", "passes", "waits", "parks"])
            if what == "parks":
                self._park(head.name, unit.token)
                continue
            elsewhere = Wait(0, own_counter(user), INTERVAL_US) if what == "waits" else None
            turns.append(Turn(head.name, int(what == "sends"), "-", elsewhere))
        lease = self.run(self.flows.lease_turns(unit, turns, consumer="c", keep_us=LONG_US))
        if lease is None or not lease.heads:
            del self.held[unit.name]
        if lease is not None:
            self._leased(lease.jobs, unit.token)

    def _park(self, flow: str, token: str) -> None:
        self.run(self.flows.park(flow, token, self.revision))
        if self.run(self.redis.hexists(PREFIX + "flow:" + flow, "parked")):
            self.parked.add(flow)

    def _may_be_unsent(self, flow: str) -> bool:
        return flow in self.unsent and self.unsent[flow][1] in self.running

    def _leased(self, jobs: tuple[LeasedJob, ...], token: str) -> None:
        for job in jobs:
            assert self.waiting[job.flow].pop(0) == job.id, "a flow's jobs are leased in order"
            self.running[job.id] = job
            self.unsent[job.flow] = (token, job.id)

    def give_back(self, choices: Choices) -> None:
        if not self.held:
            return
        unit = self.held.pop(choices.one_of(sorted(self.held)))
        counters = [SHARED] if isinstance(unit, TakenRing) else [SHARED, own_counter(unit.name.rpartition(":")[2]), ""]
        counter = choices.one_of(counters)
        self._tell_sent(unit)
        self.run(self.flows.give_back(unit, Wait(0, counter, INTERVAL_US if counter else 0)))

    def _tell_sent(self, unit: TakenFlow | TakenRing) -> None:
        """What a worker does before it gives a ring back; for a flow, giving it back says so."""
        flows = [flow for flow, (token, _) in self.unsent.items() if token == unit.token]
        if isinstance(unit, TakenRing):
            self.run(self.flows.sent(flows, unit.token))
        for flow in flows:
            del self.unsent[flow]

    def attempts_end(self, choices: Choices) -> None:
        for job_id in choices.shuffled(sorted(self.running, key=self.accepted.index)):
            job = self.running[job_id]
            ending = choices.one_of(["goes on", "released", "held", "settled"])
            if ending == "goes on":
                continue
            del self.running[job_id]
            if ending == "settled":
                assert self.run(self.flows.settle([Settlement(job, JobStatus.FAILED, "expired", "no")])) == [True]
                continue
            if ending == "released":
                self.run(self.flows.release([job]))
            else:
                assert self.run(self.flows.hold(job, 0.0001, 0.0001, 0.0, "upstream_unavailable", "503"))
                self.run(asyncio.sleep(0.001))
            self._returned(job.flow, job_id)

    def _returned(self, flow: str, job_id: str) -> None:
        self.waiting[flow] = sorted([*self.waiting[flow], job_id], key=self.accepted.index)

    def cancel(self, choices: Choices) -> None:
        flow = choices.one_of([flow_of(user) for user in USERS])
        if self.waiting[flow]:
            job_id = choices.one_of(self.waiting[flow])
            assert self.run(self.records.cancel(job_id))
            self.waiting[flow].remove(job_id)

    def reschedule(self, choices: Choices) -> None:
        """A rule that they are charged for changed: either of them."""
        self.revision += 1
        self.priority = choices.one_of([0, 3, 7])
        if choices.one_of([True, False]):
            self.run(self.flows.reschedule("r", self._rule()))
            self.parked.clear()
        else:
            self.run(self.flows.reschedule("each", active(self.revision, rule_id="each")))

    def reclaim(self, _: Choices) -> None:
        self.run(self.flows.reclaim(0, "other", 0))
        for job_id, job in self.running.items():
            self._returned(job.flow, job_id)
        self.running.clear()

    def forget_leases(self, _: Choices) -> None:
        """The workers went away, and what they held is due: its flow leases are over."""
        self.held.clear()
        self.run(self._make_all_due())

    async def _make_all_due(self) -> None:
        for priority in await self.members("priorities"):
            for unit in await self.members(f"due:{priority}"):
                await self.redis.zadd(f"{PREFIX}due:{priority}", {unit: 1}, xx=True)
                lease = cast("bytes | None", await self.redis.get(PREFIX + "held:" + unit))
                if lease is not None:
                    words = lease.split(b" ")
                    words[2] = b"1"  # until when
                    await self.redis.set(PREFIX + "held:" + unit, b" ".join(words))

    # -------------------------------------------------------------------------------------------------- what must hold

    @invariant()
    def each_waiting_flow_stands_in_one_place(self) -> None:
        self.run(self._places())

    async def _places(self) -> None:
        due = [unit for name in await self.names("due:*") for unit in await self.members(name)]
        in_rings = {name.removeprefix("ring:"): await self.members(name) for name in await self.names("ring:*")}
        rings = {ring.decode() for ring in cast("set[bytes]", await self.redis.smembers(PREFIX + "rings"))}
        assert rings == set(in_rings), "what is known as a ring is one"
        assert sorted(unit for unit in due if unit.startswith("~")) == sorted(f"~{ring}" for ring in rings), (
            "each is due"
        )
        places = Counter(unit for unit in due if not unit.startswith("~"))
        places.update(flow for flows in in_rings.values() for flow in flows)
        for flow, waiting in self.waiting.items():
            if flow in self.parked:
                assert places[flow] == 0, "a parked flow waits for its rule"
            elif waiting:
                assert places[flow] == 1, (flow, due, in_rings)
            else:
                assert places[flow] <= 1
        for ring, members in in_rings.items():
            for flow in members:
                assert await self.redis.hget(PREFIX + "flow:" + flow, "ring") == ring.encode()
            highest = max([await self._priority(flow) for flow in members])
            assert await self._priority(f"~{ring}") == highest, "a ring has the highest priority of its flows"
            assert f"~{ring}" in await self.members(f"due:{highest}")

    async def _priority(self, unit: str) -> int:
        return int(cast("bytes", await self.redis.hget(PREFIX + "flow:" + unit, "priority")))

    def end_all(self) -> None:
        """All that waits is leased in the end, in order."""
        self._settle_running()
        self.run(self.flows.reschedule("r", active(self.revision + 1, key_type="ip", key_value="0.0.0.0/0")))
        for _ in range(3 + sum(map(len, self.waiting.values()))):
            self.run(self._make_all_due())
            for unit in self.run(self.flows.take(0, 10, LONG_US))[1]:
                if isinstance(unit, TakenFlow):
                    lease = self.run(self.flows.lease(unit, 10, consumer="c", keep_us=0))
                else:
                    turns = [Turn(head.name, 1, "-") for head in unit.heads]
                    lease = self.run(self.flows.lease_turns(unit, turns, consumer="c", keep_us=0))
                assert lease is not None
                self._leased(lease.jobs, unit.token)
                self._settle_running()
        assert [job_id for waiting in self.waiting.values() for job_id in waiting] == []
        self.run(self._nothing_is_left())

    def _settle_running(self) -> None:
        for job in self.running.values():
            self.run(self.flows.settle([Settlement(job, JobStatus.FAILED, "expired", "no")]))
        self.running.clear()

    async def _nothing_is_left(self) -> None:
        for pattern in ("due:*", "ring:*", "rings", "flow:*", "rule:*", "counters", "totals", "state"):
            assert await self.names(pattern) == []


def test_flows_that_take_turns_are_never_lost(settings: Settings) -> None:
    run_machine(RingMachine, settings, examples=40, steps=40)
