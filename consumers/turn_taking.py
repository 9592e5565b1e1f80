"""Taking turns: flows that wait for the same counter get its slots round robin.

A worker that holds a ring asks for slots for the first flows of it, in their order and in one round trip. A flow that
got slots goes behind the others. A flow that another of its counters holds back leaves the ring until that counter
permits it to go on.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from time import monotonic

from app.queue.flow_leases import MAX_LEASED_AT_ONCE, MAX_TURNS
from app.queue.flow_name import charged_rules
from app.queue.flows import Flows
from app.queue.model import FlowHead, Lease, LeasedJob, TakenRing, Wait
from consumers.charges import place_markers
from consumers.draining import BUSY_WAIT_S, LOOK_FOR_UNITS_US
from consumers.in_flight import InFlight
from consumers.job_places import JobPlaces
from consumers.place_waiting import PlaceWaiting
from consumers.rejecting import reject_jobs
from consumers.sender import Sender
from consumers.served_ring import MAX_SLOTS_A_TURN, ServedRing, ServedTurn
from consumers.slots import Grant, SlotRequest, SlotSource

FIRST_SLOTS = 8
"""How many slots are asked for before it is known how quick the counter is."""

MARK_AGAIN_S = 0.25
"""How often the counter is marked as one that flows wait for, while they get slots of it."""


class TurnTaking:
    """Serves rings, each until its counter lets nobody go on for a while."""

    def __init__(
        self, flows: Flows, slots: SlotSource, sender: Sender, in_flight: InFlight, job_places: JobPlaces,
        place_waiting: PlaceWaiting, flow_lease_us: int, consumer: str,
    ) -> None:  # fmt: skip
        self._flows = flows
        self._slots = slots
        self._sender = sender
        self._in_flight = in_flight
        self._job_places = job_places
        self._place_waiting = place_waiting
        self._flow_lease_us = flow_lease_us
        self._consumer = consumer

    async def drain(self, ring: TakenRing, stopping: Callable[[], bool]) -> None:
        """Serve a ring. Raises Unavailable; the ring is then due again after its flow lease."""
        served = ServedRing(ring, self._sender)
        await self._sender.prepare()
        try:
            while await self._serve_once(served):
                if stopping():
                    break
                await asyncio.sleep(served.ask_at_s - monotonic())
        finally:
            await served.wait_for_slots()
            given_back = await self._give_back(served)
            await self._tell_sent(served, await served.finish())
            await self._look_again(served, given_back)
        if not served.lost:
            wait_us = int((BUSY_WAIT_S if given_back else served.ask_at_s - monotonic()) * 1e6)
            if served.may_gain and self._awaits_answers(ring.counter):
                wait_us = min(wait_us, LOOK_FOR_UNITS_US)
            if served.wait.for_place and not self._place_waiting.add(ring.name, ring.counter, served.asked_at_s):
                wait_us = 0
            await self._flows.give_back(served.ring, replace(served.wait, wait_us=wait_us))

    def _awaits_answers(self, counter: str) -> bool:
        """Whether this worker has jobs in flight that are charged to this counter."""
        return any(rule.counter == counter for flow in self._in_flight.flows for rule in charged_rules(flow))

    async def _serve_once(self, served: ServedRing) -> bool:
        """Give the next flows their turns; whether the ring may go on within a horizon."""
        given_back = await self._give_back(served)
        await served.return_missed()
        await self._look_again(served, given_back)
        turns = await self._ask(served)
        lease = await self._lease(served, turns)
        if lease is None or not lease.heads:
            served.lost = True
        if lease is None:
            return False
        served.see(lease)
        await self._tell_sent(served, await served.end_idle())
        await self._start(served, turns, lease.jobs)
        is_near = served.wait.wait_us <= 2 * self._slots.lead_time.horizon_us
        await self._update_markers(served, turns, lease, is_near=is_near)
        return not served.lost and is_near

    async def _give_back(self, served: ServedRing) -> list[str]:
        """Give back slots at which nothing was sent, and return the flows that have theirs again.

        This is done before their jobs return, so that whoever takes such a flow then finds its slot. The calls share a
        round trip: a worker that was stopped has missed the slots of all flows.
        """
        unused = served.take_unused()
        given_back = await asyncio.gather(*(self._slots.give_back(grant) for grant in unused.values()))
        return [flow for flow, is_given_back in zip(unused, given_back, strict=True) if is_given_back]

    async def _look_again(self, served: ServedRing, flows: Sequence[str]) -> None:
        """Make flows due that have left the ring to wait for a counter that has taken a slot back."""
        if flows:
            await self._flows.make_due({served.ring.counter: flows})

    async def _tell_sent(self, served: ServedRing, flows: Sequence[str]) -> None:
        """Other workers may go on with flows whose jobs were sent, though they have no outcome yet."""
        if flows:
            await self._flows.sent(flows, served.ring.token)

    # ---------------------------------------------------------------------------------------------------- asking

    async def _ask(self, served: ServedRing) -> list[ServedTurn]:
        ring = served.ring
        ahead = FIRST_SLOTS
        if served.wait.interval_us:
            ahead = max(1, self._slots.lead_time.horizon_us // served.wait.interval_us)
        # More than one slot a turn only if the counter is quick enough for all; more flows than slots are of no use.
        size = max(1, len(ring.heads) if len(ring.heads) < MAX_TURNS else ring.size)
        each = min(MAX_SLOTS_A_TURN, -(-ahead // size))
        turns = [await self._look_at(served, head, each) for head in ring.heads[: ahead + 1]]
        asking = [turn for turn in turns if turn.reserved]
        try:
            requests = [SlotRequest(turn.head, turn.rule, turn.reserved) for turn in asking if turn.rule is not None]
            grants = await self._slots.acquire_turns(ring.counter, requests, MAX_LEASED_AT_ONCE, served.at_us)
            for turn, grant in zip(asking, grants, strict=True):
                turn.grant = grant
                if grant is not None:
                    turn.waits_elsewhere = self._elsewhere(turn.head.name, grant, ring.counter)
        finally:
            for turn in asking:
                self._in_flight.release(turn.head.name, turn.reserved - turn.slots)
        served.look_ahead(turns, self._slots.lead_time.request_us)
        return turns

    def _elsewhere(self, flow: str, grant: Grant, counter: str) -> Wait | None:
        """Another counter than the ring's that holds the flow back."""
        wait = grant.wait
        if grant.slots_s or wait.counter == counter:
            return None
        if wait.for_place and not self._place_waiting.add(flow, wait.counter, grant.asked_at_s):
            return replace(wait, wait_us=0)
        return wait

    async def _look_at(self, served: ServedRing, head: FlowHead, each: int) -> ServedTurn:
        """Whether a flow may ask for slots, and for how many."""
        turn = ServedTurn(head)
        rule = await self._slots.rule_of(head.name)
        if rule is None or head.same_cost == 0:
            return turn
        turn.rule = rule.active
        if rule.rejects:
            turn.rejects = True
        elif rule.paused:
            await self._flows.park(head.name, served.ring.token, rule.active.revision, rule.flow_paused_in)
        elif not self._sender.pause_s(head.name):
            most = int(min(each, head.same_cost, self._sender.capacity))
            turn.reserved = self._in_flight.reserve(head.name, most)
        return turn

    # --------------------------------------------------------------------------------------------------- leasing

    async def _lease(self, served: ServedRing, turns: Sequence[ServedTurn]) -> Lease | None:
        last_s = max((turn.grant.slots_s[-1] for turn in turns if turn.grant and turn.grant.slots_s), default=0.0)
        now = monotonic()
        keep_us = max(0, int((last_s - now) * 1e6)) + self._flow_lease_us
        next_us = int((served.ask_at_s - now) * 1e6)
        wanted = [turn.for_queue() for turn in turns if turn.had_turn()]
        lease = None
        try:
            lease = await self._flows.lease_turns(
                served.ring, wanted, consumer=self._consumer, keep_us=keep_us, next_us=next_us
            )
        finally:
            leased = Counter(job.flow for job in lease.jobs) if lease is not None else Counter[str]()
            for turn in turns:
                self._in_flight.release(turn.head.name, max(0, turn.slots - leased[turn.head.name]))
                if turn.grant is not None:
                    of_flow = [job for job in lease.jobs if job.flow == turn.head.name] if lease is not None else []
                    self._job_places.assign(turn.grant, of_flow)
            served.note_grants(turns, leased)
        return lease

    async def _start(self, served: ServedRing, turns: Sequence[ServedTurn], jobs: Sequence[LeasedJob]) -> None:
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
                served.send(turn.head.name, turn.grant.jobs_of(of_flow), turn.grant.slots_s)

    async def _update_markers(
        self, served: ServedRing, turns: Sequence[ServedTurn], lease: Lease, *, is_near: bool
    ) -> None:
        """Mark the counter while flows wait for it; say which of the flows have no jobs any more."""
        now = monotonic()
        if lease.heads and (now >= served.mark_again_at_s or not is_near):
            served.mark_again_at_s = now + MARK_AGAIN_S
            await self._slots.mark_waiting(lease.heads[0].name, served.wait, lease.at_us)
        waiting = {head.name for head in lease.heads}
        emptied = [
            (turn.head.name, turn.rule)
            for turn in turns
            if turn.rule is not None and 0 < turn.slots >= turn.head.depth and turn.head.name not in waiting
        ]
        granted = [(turn.head.name, turn.grant) for turn in turns if turn.grant is not None and not lease.heads]
        shared = {marker for flow, grant in granted for marker in place_markers(flow, grant.place_counters)}
        await self._slots.clear_markers(emptied, lease.at_us, shared)
