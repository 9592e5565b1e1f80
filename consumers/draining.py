"""Draining one flow: acquire slots, lease as many jobs, send each at its slot, give the flow back."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from time import monotonic

from app.queue.flow_leases import MAX_LEASED_AT_ONCE
from app.queue.flows import Flows
from app.queue.model import Lease, LeasedJob, TakenFlow, Wait
from app.rules.active import ActiveRule
from consumers.charges import place_markers
from consumers.in_flight import InFlight
from consumers.job_places import JobPlaces
from consumers.pacing import Pacer
from consumers.place_waiting import PlaceWaiting
from consumers.rejecting import reject_flow
from consumers.sender import Sender
from consumers.slots import Grant, SlotSource

UNKNOWN_RULES_WAIT_US = 500_000
BUSY_WAIT_S = 0.05
BUSY_CHECK_S = 0.002
WORTH_ASKING = 16
LOOK_FOR_UNITS_US = 250_000
"""How soon to look whether the answers that a flow still awaits have given units back."""


class Draining:
    """Drains flows one by one, until each must wait or is empty."""

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

    async def drain(self, flow: TakenFlow, stopping: Callable[[], bool]) -> None:
        """Drain a flow. Raises Unavailable; the flow is then due again after its flow lease."""
        rule = await self._slots.rule_of(flow.name)
        if rule is None:
            await self._flows.give_back(flow, Wait(UNKNOWN_RULES_WAIT_US))
        elif rule.rejects:
            await reject_flow(self._flows, flow, self._consumer, self._flow_lease_us)
        elif rule.paused:
            await self._flows.park(flow.name, flow.token, rule.active.revision, rule.flow_paused_in)
        else:
            await self._send_at_slots(flow, rule.active, stopping)

    async def _send_at_slots(self, flow: TakenFlow, rule: ActiveRule, stopping: Callable[[], bool]) -> None:
        """Send until the flow must wait, is empty or is lost; then nothing of it is left in hand."""
        pacer = self._sender.begin(flow.name)
        drained = _Drained(flow)
        try:
            await self._lease_while_due(drained, rule, pacer, stopping)
        finally:
            missed = await self._sender.end(flow.name, pacer)
            given_back = await self._give_back_unused(drained, pacer)
        wait_us = int((drained.ask_at_s - monotonic()) * 1e6)
        if given_back:
            wait_us = int(BUSY_WAIT_S * 1e6)
        elif missed and wait_us <= 0:  # its slot was missed, and not its turn
            wait_us = int((flow.due_at_s - monotonic()) * 1e6)
        if drained.may_gain and self._in_flight.holds(flow.name):
            wait_us = min(wait_us, LOOK_FOR_UNITS_US)
        wait = drained.wait
        if wait.for_place and not self._place_waiting.add(flow.name, wait.counter, drained.asked_at_s):
            wait_us = 0
        await self._flows.give_back(flow, replace(drained.wait, wait_us=wait_us))
        if drained.emptied_at_us and not missed and not drained.lost:
            shared = place_markers(flow.name, drained.place_counters)
            await self._slots.clear_markers([(flow.name, rule)], drained.emptied_at_us, shared)

    async def _give_back_unused(self, drained: "_Drained", pacer: Pacer) -> bool:
        """Give back the last slot if nothing was sent at it, so that a flow need not wait an hour for another."""
        if drained.last_grant is None or not (drained.is_unused or pacer.is_last_slot_unused):
            return False
        return await self._slots.give_back(drained.last_grant)

    async def _lease_while_due(
        self, drained: "_Drained", rule: ActiveRule, pacer: Pacer, stopping: Callable[[], bool]
    ) -> None:
        """Lease jobs for the next slots, again and again."""
        flow = drained.flow
        await self._sender.prepare()
        at_us = flow.at_us
        while True:
            if pause_s := self._sender.pause_s(flow.name):
                drained.ask_at_s = monotonic() + pause_s
                return
            reserved = await self._reserve(flow)
            leased: tuple[LeasedJob, ...] = ()
            grant = None
            if reserved == 0:
                busy = self._in_flight.holds(flow.name)
                drained.ask_at_s = monotonic() + BUSY_WAIT_S if busy else flow.due_at_s
                return
            try:
                grant = await self._slots.acquire(flow.head, rule, reserved, at_us)
                drained.observe_grant(grant)
                if not grant.slots_s:
                    await self._slots.mark_waiting(flow.name, grant.wait, at_us)
                    return
                lease = await self._flows.lease(
                    flow,
                    len(grant.slots_s),
                    consumer=self._consumer,
                    keep_us=self._keep_us(grant),
                    next_us=int((grant.ask_at_s - grant.granted_at_s) * 1e6),
                )
                if lease is None:
                    drained.lost = True
                    return
                leased = lease.jobs
                drained.is_unused = not leased
            finally:
                self._in_flight.release(flow.name, reserved - len(leased))
                if grant is not None:
                    self._job_places.assign(grant, leased)
            self._slots.lead_time.observe((monotonic() - grant.granted_at_s) * 1e6)
            pacer.add(grant.jobs_of(lease.jobs), grant.slots_s)
            flow = replace(flow, head=lease.head)
            at_us = lease.at_us
            drained.observe(lease)
            far = grant.next_wait_us > 2 * self._slots.lead_time.horizon_us
            if not drained.rests:
                await self._slots.mark_waiting(flow.name, grant.wait, at_us)
            if drained.rests or lease.must_take_turns or far or stopping():
                return
            # The next slots are asked for before the last ones have passed, so that a fast flow has no gap.
            await asyncio.sleep(drained.ask_at_s - monotonic())
            latest = await self._slots.rule_of(flow.name)
            if latest is None or latest.deleted or latest.paused:
                return
            rule = latest.active

    def _keep_us(self, grant: Grant) -> int:
        """The flow is kept until its last slot has passed, and a flow lease longer."""
        return int((grant.slots_s[-1] - grant.granted_at_s) * 1e6) + self._flow_lease_us

    async def _reserve(self, flow: TakenFlow) -> int:
        """Reserve permits for the next jobs; a flow that has its share waits a little for more than a few."""
        until = monotonic() + BUSY_WAIT_S
        while True:
            most = int(min(flow.head.same_cost, MAX_LEASED_AT_ONCE, self._sender.capacity))
            if (
                self._in_flight.available_to(flow.name, most) >= min(most, WORTH_ASKING)
                or not self._in_flight.holds(flow.name)
                or monotonic() >= until
            ):
                return self._in_flight.reserve(flow.name, most)
            await asyncio.sleep(BUSY_CHECK_S)


class _Drained:
    """How the draining of a flow ended: when to ask for more and for what it waits, or it was lost.

    `rests`: nothing of it can be leased now. `may_gain`: answers may give units back. `emptied_at_us`: when it was seen
    without any job, by the queue's clock. `place_counters`: where its jobs have places while they are in flight.
    `last_grant`: the last one with slots; `is_unused`: no job was leased for it.
    """

    __slots__ = (
        "ask_at_s",
        "asked_at_s",
        "emptied_at_us",
        "flow",
        "is_unused",
        "last_grant",
        "lost",
        "may_gain",
        "place_counters",
        "rests",
        "wait",
    )

    def __init__(self, flow: TakenFlow) -> None:
        self.flow = flow
        self.ask_at_s = flow.due_at_s
        self.asked_at_s = 0.0
        self.wait = Wait(0)
        self.emptied_at_us = 0
        self.lost = False
        self.rests = False
        self.may_gain = False
        self.place_counters: tuple[str, ...] = ()
        self.last_grant: Grant | None = None
        self.is_unused = False

    def observe_grant(self, grant: Grant) -> None:
        """Note when to ask for the slots after these, and what the flow waits for until then."""
        self.ask_at_s, self.asked_at_s, self.wait = grant.ask_at_s, grant.asked_at_s, grant.wait
        self.may_gain, self.place_counters = bool(grant.corrected), grant.place_counters
        if grant.slots_s:
            self.last_grant, self.is_unused = grant, True

    def observe(self, lease: Lease) -> None:
        """Note what the flow has after a lease; jobs on Kafka wait there without being due."""
        self.rests = lease.head.same_cost == 0
        self.emptied_at_us = lease.at_us if lease.head.depth == 0 else 0
