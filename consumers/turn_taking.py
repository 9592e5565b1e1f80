"""Taking turns: flows that wait for the same counter get its slots round robin.

A worker that holds a ring asks for slots for the first flows of it, in their order and in one round trip. A flow that
got slots goes behind the others. A flow that another of its counters holds back leaves the ring until that counter
permits it to go on.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import monotonic

from app.queue.flows import MAX_LEASED_AT_ONCE, Flows
from app.queue.model import FlowHead, Lease, LeasedJob, TakenRing, Turn, Wait
from app.rules.active import ActiveRule
from consumers.in_flight import InFlight
from consumers.pacing import Pacer
from consumers.rejecting import reject_jobs
from consumers.sender import Sender
from consumers.slots import Grant, SlotSource

BUSY_WAIT_S = 0.01
MAX_SLOTS_A_TURN = 50
FIRST_FLOWS = 4
"""How many flows are asked for before it is known how quick the counter is."""


@dataclass(frozen=True, slots=True)
class _Served:
    """What came of a flow's turn: slots, or nothing; `rejects`: its jobs are to end, since their rule was deleted."""

    head: FlowHead
    rule: ActiveRule | None = None
    grant: Grant | None = None
    rejects: bool = False

    @property
    def slots(self) -> int:
        return 0 if self.grant is None else len(self.grant.slots_s)


class TurnTaking:
    """Serves rings, each until its counter lets nobody go on for a while."""

    def __init__(
        self, flows: Flows, slots: SlotSource, sender: Sender, in_flight: InFlight, flow_lease_us: int, consumer: str
    ) -> None:
        self._flows = flows
        self._slots = slots
        self._sender = sender
        self._in_flight = in_flight
        self._flow_lease_us = flow_lease_us
        self._consumer = consumer

    async def drain(self, ring: TakenRing, stopping: Callable[[], bool]) -> None:
        """Serve a ring. Raises Unavailable; the ring is then due again after its flow lease."""
        served = _Ring(ring)
        await self._sender.prepare()
        try:
            while await self._serve_once(served):
                if stopping():
                    break
                await asyncio.sleep(served.ask_at_s - monotonic())
        finally:
            await self._finish(served)
        if not served.lost:
            wait_us = int((served.ask_at_s - monotonic()) * 1e6)
            await self._flows.give_back(served.ring, replace(served.wait, wait_us=wait_us))

    async def _serve_once(self, served: "_Ring") -> bool:
        """Give the next flows their turns; whether the ring may go on within a horizon."""
        turns = await self._ask(served)
        lease = await self._lease(served, turns)
        if lease is None or not lease.heads:
            served.lost = True
        if lease is None:
            return False
        served.ring, served.at_us = replace(served.ring, heads=lease.heads), lease.at_us
        await self._start(served, turns, lease.jobs)
        await self._update_markers(served, turns, lease)
        return not served.lost and served.wait.wait_us <= 2 * self._slots.lead_time.horizon_us

    # ---------------------------------------------------------------------------------------------------- asking

    async def _ask(self, served: "_Ring") -> list[_Served]:
        ring, horizon_us = served.ring, self._slots.lead_time.horizon_us
        ahead = FIRST_FLOWS if not served.wait.interval_us else max(1, horizon_us // served.wait.interval_us)
        # More than one slot a turn only if the counter is quick enough for all; more flows than slots are of no use.
        each = max(1, min(MAX_SLOTS_A_TURN, ahead // max(1, ring.size)))
        heads = ring.heads[: min(MAX_LEASED_AT_ONCE // each, ahead // each + 1)]
        turns = list(await asyncio.gather(*(self._ask_for(served, head, each) for head in heads)))
        self._look_ahead(served, turns)
        return turns

    async def _ask_for(self, served: "_Ring", head: FlowHead, each: int) -> _Served:
        rule = await self._slots.rule_of(head.name)
        if rule is None or head.same_cost == 0:
            return _Served(head)
        if rule.deleted and rule.active.queue.on_delete == "reject":
            return _Served(head, rule.active, rejects=True)
        if rule.active.paused and not rule.deleted:
            await self._flows.park(head.name, served.ring.token, rule.active.revision)
            return _Served(head)
        if self._sender.pause_s(head.name):
            return _Served(head, rule.active)
        reserved = self._in_flight.reserve(head.name, int(min(each, head.same_cost, self._sender.capacity)))
        if reserved == 0:
            return _Served(head, rule.active)
        got = 0
        try:
            grant = await self._slots.acquire(head, rule.active, reserved, served.at_us)
            got = len(grant.slots_s)
        finally:
            self._in_flight.release(head.name, reserved - got)
        return _Served(head, rule.active, grant)

    def _look_ahead(self, served: "_Ring", turns: Sequence[_Served]) -> None:
        """Ask again when the ring's counter has its next slot, as the last flow that was asked for found it."""
        served.ask_at_s = monotonic() + BUSY_WAIT_S
        for turn in turns:
            wait = None if turn.grant is None else turn.grant.wait_for(served.ring.counter)
            if turn.grant is not None and wait is not None:
                served.wait = wait
                lead_us = self._slots.lead_time.request_us
                served.ask_at_s = turn.grant.granted_at_s + (wait.wait_us - lead_us) / 1e6

    # --------------------------------------------------------------------------------------------------- leasing

    async def _lease(self, served: "_Ring", turns: Sequence[_Served]) -> Lease | None:
        last_s = max((turn.grant.slots_s[-1] for turn in turns if turn.grant and turn.grant.slots_s), default=0.0)
        keep_us = max(0, int((last_s - monotonic()) * 1e6)) + self._flow_lease_us
        wanted = [_turn(turn, served.ring.counter) for turn in turns]
        lease = None
        try:
            lease = await self._flows.lease_turns(served.ring, wanted, consumer=self._consumer, keep_us=keep_us)
        finally:
            leased = Counter(job.flow for job in lease.jobs) if lease is not None else Counter[str]()
            for turn in turns:
                self._in_flight.release(turn.head.name, max(0, turn.slots - leased[turn.head.name]))
        return lease

    async def _start(self, served: "_Ring", turns: Sequence[_Served], jobs: Sequence[LeasedJob]) -> None:
        """Let each flow's pacer send its jobs; or end them, where their rule was deleted."""
        by_flow: dict[str, list[LeasedJob]] = {}
        for job in jobs:
            by_flow.setdefault(job.flow, []).append(job)
        for turn in turns:
            of_flow = by_flow.get(turn.head.name, [])
            if turn.rejects:
                await reject_jobs(self._flows, of_flow)
            elif of_flow and turn.grant is not None:
                self._slots.lead_time.observe((monotonic() - turn.grant.granted_at_s) * 1e6)
                pacer = served.pacers.get(turn.head.name)
                if pacer is None:
                    pacer = served.pacers[turn.head.name] = self._sender.begin(turn.head.name)
                pacer.add(of_flow, turn.grant.slots_s)

    async def _update_markers(self, served: "_Ring", turns: Sequence[_Served], lease: Lease) -> None:
        """Mark the counter while flows wait for it; say which of the flows have no jobs any more."""
        waiting = {head.name for head in lease.heads}
        if waiting:
            await self._slots.mark_waiting(lease.heads[0].name, served.wait, lease.at_us)
        for turn in turns:
            if turn.rule is not None and turn.slots >= turn.head.depth and turn.head.name not in waiting:
                await self._slots.clear_marker(turn.head.name, turn.rule, lease.at_us)

    async def _finish(self, served: "_Ring") -> None:
        """Wait until all slots have passed, and return the jobs that missed theirs."""
        await asyncio.gather(*(self._sender.end(flow, pacer) for flow, pacer in served.pacers.items()))


class _Ring:
    """A ring that is being served: when to ask for it again, and the pacers of its flows."""

    __slots__ = ("ask_at_s", "at_us", "lost", "pacers", "ring", "wait")

    def __init__(self, ring: TakenRing) -> None:
        self.ring = ring
        self.ask_at_s = monotonic()
        self.at_us = ring.at_us
        self.wait = Wait(0, ring.counter)
        self.pacers: dict[str, Pacer] = {}
        self.lost = False


def _turn(served: _Served, counter: str) -> Turn:
    """What the queue is told of a flow's turn."""
    head = served.head
    if served.rejects:
        return Turn(head.name, min(head.same_cost, MAX_SLOTS_A_TURN), head.costs)
    if served.slots or served.grant is None or served.grant.wait.counter == counter:
        return Turn(head.name, served.slots, head.costs)
    return Turn(head.name, 0, head.costs, elsewhere=served.grant.wait)
