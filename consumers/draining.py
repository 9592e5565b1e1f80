"""Draining one flow: acquire slots, lease as many jobs, send each at its slot, give the flow back."""

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from time import monotonic

from app.errors import RulesUnavailable
from app.jobs.model import JobStatus
from app.limiter.keys import drain_counter, live_counter
from app.limiter.limiter import Limiter
from app.limiter.policy import Charge, Slots
from app.process.lifecycle import cancel
from app.queue.encoding import decode_charges
from app.queue.flows import Flows
from app.queue.model import FrozenCharge, Lease, LeasedJob, Settlement, TakenFlow
from app.rules.active import ActiveRule
from app.rules.cache import RuleCache
from app.settings import Settings
from app.upstream.response import UpstreamResponse
from app.upstream.upstream import Upstream
from consumers.clock import CountersClock
from consumers.concurrency_limit import ConcurrencyLimit
from consumers.delivery import Delivery
from consumers.in_flight import InFlight
from consumers.lead_time import LeadTime
from consumers.metrics import WorkerMetrics
from consumers.pacing import Pacer
from consumers.send_gate import SendGate

MAX_BATCH = 500
"""Jobs a lease at most: Lua's stack bounds what a script may return at once."""
FIRST_LOOK = 64
"""How far it is looked into a flow for jobs that cost the same; then twice as far as was leased: looking costs time."""

UNKNOWN_RULES_WAIT_US = 500_000
BUSY_WAIT_S = 0.05
BUSY_CHECK_S = 0.002
WORTH_ASKING = 16
MARKER_SLACK_S = 60.0
CLOCK_LOOKS = 5


class Draining:
    """What a worker does with a flow that it took, until the flow must wait or is empty."""

    def __init__(
        self,
        flows: Flows,
        limiter: Limiter,
        rules: RuleCache,
        delivery: Delivery,
        upstream: Upstream,
        gate: SendGate,
        in_flight: InFlight,
        concurrency_limit: ConcurrencyLimit,
        settings: Settings,
        metrics: WorkerMetrics,
        consumer: str,
    ) -> None:
        self._flows = flows
        self._limiter = limiter
        self._rules = rules
        self._delivery = delivery
        self._upstream = upstream
        self._gate = gate
        self._in_flight = in_flight
        self._concurrency_limit = concurrency_limit
        self._metrics = metrics
        self._consumer = consumer
        self._clock = CountersClock()
        self._lead_time = LeadTime(int(settings.slot_lead_ms * 1000), int(settings.horizon_ms * 1000))
        self._flow_lease_us = int(settings.flow_lease_ms * 1000)
        self._grace_s = settings.slot_grace_ms / 1000
        self._tasks: set[asyncio.Task[None]] = set()

    async def prepare(self) -> None:
        """Learn what the counters' clock says, before the first slots depend on it. Raises CountersUnavailable."""
        for _ in range(CLOCK_LOOKS):
            asked_at = monotonic()
            self._clock.to_monotonic_s(asked_at, await self._limiter.now_us(), monotonic())

    async def drain(self, flow: TakenFlow, stopping: Callable[[], bool]) -> None:
        """Drain a flow. Raises Unavailable; the flow is then due again after its flow-lease."""
        rule, deleted = await self._rule_of(flow)
        if rule is None:
            await self._give_back(flow, UNKNOWN_RULES_WAIT_US)
        elif deleted and rule.queue.on_delete == "reject":
            await self._reject(flow)
        elif rule.paused and not deleted:
            await self._flows.lease(flow, 0, consumer=self._consumer, due_in_us=0, look=1, parked_at=rule.revision)
        else:
            await self._send_at_slots(flow, rule, stopping)

    async def _send_at_slots(self, flow: TakenFlow, rule: ActiveRule, stopping: Callable[[], bool]) -> None:
        """Until the flow must wait, is empty or is lost; then nothing of it is left in hand."""
        may_send = partial(self._gate.may_send, flow.name)
        pacer = Pacer(partial(self._send, flow.name), self._grace_s, may_send, self._upstream.preconnect)
        self._gate.begin_drain(flow.name)
        try:
            ask_at_s = await self._lease_while_due(flow, rule, pacer, stopping)
        finally:
            missed = await pacer.finish()
            self._gate.end_drain(flow.name)
            await self._return(flow.name, missed)
        if ask_at_s is not None:
            now = monotonic()
            if missed and ask_at_s <= now:
                ask_at_s = flow.due_at_s  # its slot was missed, and not its turn
            await self._give_back(flow, int((ask_at_s - now) * 1e6), rule)

    async def _lease_while_due(
        self, flow: TakenFlow, rule: ActiveRule, pacer: Pacer, stopping: Callable[[], bool]
    ) -> float | None:
        """Lease jobs for the next slots, again and again; when to ask for more, or None where the flow was lost."""
        await self._upstream.preconnect()  # before slots are asked for: what would be late shifts all that follows
        while True:
            if pause_s := self._gate.pause_s(flow.name):
                return monotonic() + pause_s
            reserved = await self._reserve(flow)
            leased = 0
            if reserved == 0:
                return monotonic() + BUSY_WAIT_S if self._in_flight.holds(flow.name) else flow.due_at_s
            try:
                asked_at = monotonic()
                slots = await self._acquire(flow, rule, reserved)
                granted_at = self._clock.to_monotonic_s(asked_at, slots.given_us, monotonic())
                ask_at_s = granted_at + (slots.next_wait_us - self._lead_time.request_us) / 1e6
                if not slots.waits_us:
                    return ask_at_s
                lease = await self._lease(flow, slots)
                if lease is None:
                    return None
                leased = len(lease.jobs)
            finally:
                self._in_flight.release(flow.name, reserved - leased)
            self._lead_time.observe((monotonic() - granted_at) * 1e6)
            pacer.add(lease.jobs, [granted_at + wait_us / 1e6 for wait_us in slots.waits_us])
            flow = replace(flow, same_cost=lease.same_cost, charges=lease.charges, depth=lease.depth)
            if flow.same_cost == 0 or slots.next_wait_us > 2 * self._lead_time.horizon_us or stopping():
                return ask_at_s
            # The next slots are asked for before the last ones have passed, so that a fast flow has no gap.
            await asyncio.sleep(ask_at_s - monotonic())
            latest, deleted = await self._rule_of(flow)
            if latest is None or deleted or latest.rule.paused:
                return ask_at_s
            rule = latest

    async def _reserve(self, flow: TakenFlow) -> int:
        """Permits for the next jobs; a flow that has its share waits a little for more than a few."""
        until = monotonic() + BUSY_WAIT_S
        while True:
            most = int(min(flow.same_cost, MAX_BATCH, self._gate.capacity))
            if (
                self._in_flight.available_to(flow.name, most) >= min(most, WORTH_ASKING)
                or not self._in_flight.holds(flow.name)
                or monotonic() >= until
            ):
                return self._in_flight.reserve(flow.name, most)
            await asyncio.sleep(BUSY_CHECK_S)

    async def _acquire(self, flow: TakenFlow, rule: ActiveRule, n: int) -> Slots:
        charges = await self._charges(flow, rule)
        marker = "" if rule.overtaking else flow.token
        horizon_us, lead_us = self._lead_time.horizon_us, self._lead_time.slot_us
        return await self._limiter.acquire(charges, n, horizon_us, lead_us, marker, _marker_ttl_s(rule))

    async def _lease(self, flow: TakenFlow, slots: Slots) -> Lease | None:
        """The flow is kept until its last slot has passed, and a flow-lease longer."""
        n, keep_us = len(slots.waits_us), slots.waits_us[-1] + self._flow_lease_us
        look = min(MAX_BATCH, max(FIRST_LOOK, 2 * n))
        return await self._flows.lease(flow, n, consumer=self._consumer, due_in_us=keep_us, look=look)

    async def _charges(self, flow: TakenFlow, rule: ActiveRule) -> list[Charge]:
        """The flow's own policy, then that of every other rule that applied and is still there."""
        own, *others = decode_charges(flow.charges)
        counter = drain_counter if rule.has_own_drain_rate else live_counter
        charges = [Charge(counter(own.rule_id, own.descriptor), rule.drain_policy, own.cost)]
        for frozen in others:
            other = await self._rules.by_id(frozen.rule_id)
            if other is not None and not other.rule.shadow:
                charges.append(_live_charge(frozen, other))
        return charges

    async def _rule_of(self, flow: TakenFlow) -> tuple[ActiveRule | None, bool]:
        """The flow's rule, and whether it is gone: then its last version. None: the rules are not known."""
        try:
            rule = await self._rules.by_id(flow.rule_id)
        except RulesUnavailable:
            return None, False
        return (rule, False) if rule is not None else (await self._flows.snapshot(flow), True)

    async def _send(self, flow: str, job: LeasedJob, slot: float) -> None:
        """Start one delivery; returns as soon as the request is on its way, so that the next can't overtake it."""
        begun = self._delivery.begin(flow, job)
        on_its_way = None if isinstance(begun, UpstreamResponse) and begun.is_sent else asyncio.Event()
        task = asyncio.create_task(
            self._delivery.attempt(flow, job, begun, None if on_its_way is None else on_its_way.set)
        )
        self._tasks.add(task)
        task.add_done_callback(partial(self._over, flow))
        if on_its_way is not None:
            await on_its_way.wait()
        now = monotonic()
        delay_s = max(0.0, now - slot)
        self._metrics.send_delay_s.observe(delay_s)
        self._concurrency_limit.observe(delay_s, now)

    def _over(self, flow: str, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._in_flight.release(flow)
        if not task.cancelled():
            task.result()

    async def _return(self, flow: str, jobs: Sequence[LeasedJob]) -> None:
        """Jobs without a slot go back to the head of the flow: the later lease first."""
        by_lease = [list(group) for _, group in groupby(jobs, key=lambda job: job.lease)]
        try:
            for group in reversed(by_lease):
                await self._flows.release(group)
        finally:  # what did not get back is reclaimed when its lease ends
            if jobs:
                self._in_flight.release(flow, len(jobs))
                self._metrics.missed_slots.inc(len(jobs))
                self._concurrency_limit.observe(math.inf, monotonic())

    async def _give_back(self, flow: TakenFlow, due_in_us: int, rule: ActiveRule | None = None) -> None:
        left = await self._flows.lease(flow, 0, consumer=self._consumer, due_in_us=due_in_us, look=1)
        if left is not None and left.depth == 0 and rule is not None and not rule.overtaking:
            counter = live_counter(flow.rule_id, flow.descriptor)
            await self._limiter.clear_backlog_marker(counter, flow.token, _marker_ttl_s(rule))

    async def _reject(self, flow: TakenFlow) -> None:
        """The rule is gone and its flow goes with it: its jobs end as dead letters, unsent."""
        while flow.same_cost:
            lease = await self._flows.lease(
                flow,
                min(flow.same_cost, MAX_BATCH),
                consumer=self._consumer,
                due_in_us=self._flow_lease_us,
                look=MAX_BATCH,
            )
            if lease is None:
                return
            if lease.jobs:
                message = "The rule that deferred it was deleted or disabled."
                await self._flows.settle(
                    [Settlement(job, JobStatus.FAILED, "rule_deleted", message) for job in lease.jobs]
                )
            flow = replace(flow, same_cost=lease.same_cost, charges=lease.charges)
        await self._give_back(flow, 0)

    async def finish(self, within_s: float) -> None:
        """Wait for every delivery that was begun; what takes longer is given up, and its job goes back to its flow."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=within_s)
        await cancel(self._tasks)


def _live_charge(frozen: FrozenCharge, rule: ActiveRule) -> Charge:
    return Charge(live_counter(frozen.rule_id, frozen.descriptor), rule.policy, frozen.cost)


def _marker_ttl_s(rule: ActiveRule) -> float:
    """A marker outlives everything that may wait in its flow."""
    return rule.queue.max_wait_seconds + MARKER_SLACK_S
