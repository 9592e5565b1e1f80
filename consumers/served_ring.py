"""A ring while a worker serves it: whose turn it was, what each flow sends, and when to ask for slots again."""

import asyncio
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from time import monotonic

from app.queue.model import FlowHead, Lease, LeasedJob, TakenRing, Turn, Wait
from app.rules.active import ActiveRule
from consumers.pacing import Pacer
from consumers.sender import Sender
from consumers.slots import Grant

BUSY_WAIT_S = 0.01
MAX_SLOTS_A_TURN = 50


@dataclass(slots=True)
class ServedTurn:
    """What came of a flow's turn: slots, or nothing; `rejects`: its jobs are to end, since their rule was deleted.

    `reserved`: for how many jobs it asks for slots. `waits_elsewhere`: for another counter than the ring's, if so.
    """

    head: FlowHead
    rule: ActiveRule | None = None
    reserved: int = 0
    grant: Grant | None = None
    rejects: bool = False
    waits_elsewhere: Wait | None = None

    @property
    def slots(self) -> int:
        """How many slots it got."""
        return 0 if self.grant is None else len(self.grant.slots_s)

    def had_turn(self) -> bool:
        """Whether anything changes for the flow."""
        return self.rejects or self.slots > 0 or self.head.same_cost == 0 or self.waits_elsewhere is not None

    def for_queue(self) -> Turn:
        """What the queue is told of it."""
        head = self.head
        if self.rejects:
            return Turn(head.name, min(head.same_cost, MAX_SLOTS_A_TURN), head.costs)
        return Turn(head.name, self.slots, head.costs, elsewhere=self.waits_elsewhere)


class ServedRing:
    """A ring that this worker holds: when to ask for it again, and the pacers of its flows."""

    __slots__ = (
        "_last_grants",
        "_pacers",
        "_sender",
        "_unleased",
        "ask_at_s",
        "asked_at_s",
        "at_us",
        "lost",
        "mark_again_at_s",
        "may_gain",
        "ring",
        "wait",
    )

    def __init__(self, ring: TakenRing, sender: Sender) -> None:
        self._sender = sender
        self._pacers: dict[str, Pacer] = {}
        self.ring = ring
        self.ask_at_s = monotonic()
        self.asked_at_s = 0.0
        self.at_us = ring.at_us
        self.wait = Wait(0, ring.counter)
        self.lost = False
        self.may_gain = False
        """Whether answers may give units back."""
        self.mark_again_at_s = 0.0
        self._last_grants: dict[str, Grant] = {}
        self._unleased: set[str] = set()
        """The flows no job of which was leased for their last grant."""

    def see(self, lease: Lease) -> None:
        """Note which flows are next after a lease."""
        self.ring, self.at_us = replace(self.ring, heads=lease.heads), lease.at_us

    def note_grants(self, turns: Sequence[ServedTurn], leased: Container[str]) -> None:
        """Note what each flow was granted last; `leased`: the flows of which jobs were leased for it."""
        for turn in turns:
            if turn.grant is not None and turn.slots:
                flow = turn.head.name
                self._last_grants[flow] = turn.grant
                if flow in leased:
                    self._unleased.discard(flow)
                else:
                    self._unleased.add(flow)

    def take_unused(self) -> dict[str, Grant]:
        """The last grants of flows that missed their last slots, or had no job leased for them; each grant once."""
        missed = {flow for flow, pacer in self._pacers.items() if pacer.is_last_slot_unused}
        unused = [flow for flow in (*self._unleased, *missed) if flow in self._last_grants]
        self._unleased.clear()
        return {flow: self._last_grants.pop(flow) for flow in dict.fromkeys(unused)}

    def look_ahead(self, turns: Sequence[ServedTurn], lead_us: int) -> None:
        """Ask again when the ring's counter has its next slot, as the last flow that was asked for found it."""
        self.ask_at_s = monotonic() + BUSY_WAIT_S
        for turn in turns:
            wait = None if turn.grant is None else turn.grant.wait_for(self.ring.counter)
            if turn.grant is not None and wait is not None:
                self.may_gain = self.may_gain or bool(turn.grant.corrected)
                self.wait, self.asked_at_s = wait, turn.grant.asked_at_s
                self.ask_at_s = turn.grant.granted_at_s + (wait.wait_us - lead_us) / 1e6

    def send(self, flow: str, jobs: Sequence[LeasedJob], slots_s: Sequence[float]) -> None:
        """Let the flow's pacer send these jobs at these slots."""
        pacer = self._pacers.get(flow)
        if pacer is None:
            pacer = self._pacers[flow] = self._sender.begin(flow)
        pacer.add(jobs, slots_s)

    async def return_missed(self) -> None:
        """Return the jobs whose slots were missed, so that their flows have these turns again. Raises Unavailable."""
        missed = [job for pacer in self._pacers.values() for job in pacer.take_missed()]
        if missed:
            await self._sender.return_unsent(missed)

    async def end_idle(self) -> list[str]:
        """Forget flows that have sent their jobs and are not next; those of which jobs are still in flight."""
        heads = {head.name for head in self.ring.heads}
        idle = [flow for flow, pacer in self._pacers.items() if pacer.is_idle and flow not in heads]
        return await self._end(idle)

    async def wait_for_slots(self) -> None:
        """Wait until all slots have passed."""
        await asyncio.gather(*(pacer.wait_for_slots() for pacer in self._pacers.values()))

    async def finish(self) -> list[str]:
        """Wait until all slots have passed, and return the jobs that missed theirs; the flows with jobs in flight."""
        return await self._end(list(self._pacers))

    async def _end(self, flows: Sequence[str]) -> list[str]:
        ended = {flow: self._pacers.pop(flow) for flow in flows}
        for flow in flows:
            self._last_grants.pop(flow, None)
        await asyncio.gather(*(self._sender.end(flow, pacer) for flow, pacer in ended.items()))
        return [flow for flow in flows if self._sender.is_in_flight(flow)]
