"""A ring while a worker serves it: whose turn it was, what each flow sends, and when to ask for slots again."""

import asyncio
from collections.abc import Sequence
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
    `is_unused`: no job was leased for its slots.
    """

    head: FlowHead
    rule: ActiveRule | None = None
    reserved: int = 0
    grant: Grant | None = None
    rejects: bool = False
    waits_elsewhere: Wait | None = None
    is_unused: bool = True

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
        "_pacers",
        "_sender",
        "ask_at_s",
        "asked_at_s",
        "at_us",
        "last_turn",
        "lost",
        "mark_again_at_s",
        "may_gain",
        "missed",
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
        self.last_turn: ServedTurn | None = None
        """The turn that got the last slot, where it was the only one that was granted at once."""
        self.missed: set[str] = set()
        """The flows that ended last and sent nothing at their last slot."""

    @property
    def unused_grant(self) -> Grant | None:
        """The grant of the last slot if nothing was sent at it."""
        turn = self.last_turn
        return turn.grant if turn is not None and (turn.is_unused or turn.head.name in self.missed) else None

    def see(self, lease: Lease) -> None:
        """Note which flows are next after a lease."""
        self.ring, self.at_us = replace(self.ring, heads=lease.heads), lease.at_us

    def note_last_slot(self, turns: Sequence[ServedTurn]) -> None:
        """Note whose the last slot is, if one alone was granted."""
        granted = [turn for turn in turns if turn.slots]
        if granted:
            self.last_turn = granted[0] if sum(turn.slots for turn in granted) == 1 else None

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

    async def finish(self) -> list[str]:
        """Wait until all slots have passed, and return the jobs that missed theirs; the flows with jobs in flight."""
        return await self._end(list(self._pacers))

    async def _end(self, flows: Sequence[str]) -> list[str]:
        ended = {flow: self._pacers.pop(flow) for flow in flows}
        await asyncio.gather(*(self._sender.end(flow, pacer) for flow, pacer in ended.items()))
        self.missed = {flow for flow, pacer in ended.items() if pacer.missed_last_slot}
        return [flow for flow in flows if self._sender.is_in_flight(flow)]
