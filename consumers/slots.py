"""Slots: a worker asks the limiter for permission to send jobs of a flow, for all rules that they are charged for."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import NamedTuple

from app.errors import CountersUnavailable, RulesUnavailable
from app.limiter.keys import backlog_of, live_counter
from app.limiter.limiter import Limiter
from app.limiter.places import Places
from app.limiter.policy import Charge, Slots, TurnRequest
from app.queue.batching import Batcher
from app.queue.flow_name import caller_of, charged_rules, decode_costs, own_rule
from app.queue.flows import Flows
from app.queue.model import FlowHead, LeasedJob, Wait
from app.rules.active import ActiveRule
from app.rules.cache import RuleCache
from app.settings import Settings
from consumers.charges import (
    ChargedLimit,
    believable_wait_us,
    caller_rates,
    charge_for,
    own_marker,
    own_policies,
    put_first,
)
from consumers.clock import CountersClock
from consumers.flow_settings import FlowSettings
from consumers.lead_time import LeadTime

WAITING_MARKER_S = 1.0
"""How long a counter is marked, beyond the next slot, as one that flows wait for."""

CLOCK_LOOKS = 5
FAR_S = 1.0
"""An unused slot is given back only if the next one is further away than this: the flow can wait for a nearer one."""

MAX_CLEARED_AT_ONCE = 128


@dataclass(frozen=True, slots=True)
class RuleOfFlow:
    """The rule that deferred a flow's jobs; `deleted`: it is gone, and this is its last version.

    `flow_paused_in`: the version of the flows' settings in which the flow is paused by itself, None where it is not.
    """

    active: ActiveRule
    deleted: bool
    flow_paused_in: int | None = None

    @property
    def rejects(self) -> bool:
        """Whether the flow's jobs are to end unsent, because the rule is gone."""
        return self.deleted and self.active.queue.on_delete == "reject"

    @property
    def paused(self) -> bool:
        """Whether nothing may be sent until an operator says so; a rule that goes while it is paused stays paused."""
        return (self.active.paused or self.flow_paused_in is not None) and not self.rejects


class SlotRequest(NamedTuple):
    """A flow of a ring that asks for up to `n` slots."""

    head: FlowHead
    rule: ActiveRule
    n: int


@dataclass(frozen=True, slots=True)
class Grant:
    """Slots of a flow, in times of `time.monotonic`.

    `next_wait_us`: from the grant until the slot after the last one. `ask_at_s`: when to ask for it. `wait`: for which
    counter the flow waits then. `waits`: the same for each counter that its jobs are charged for, by itself.
    `asked_at_s`: when the slots were asked for. `places`: what each slot's place among those in flight is called, which
    it has at all `place_counters`.
    `corrected`: what a job was charged, where its answer may state what it has really cost. `charges` and `answer`:
    what was asked of the limiter, and its answer.
    """

    slots_s: tuple[float, ...]
    granted_at_s: float
    next_wait_us: int
    ask_at_s: float
    wait: Wait
    waits: tuple[Wait, ...]
    asked_at_s: float = 0.0
    place_counters: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    corrected: tuple[Charge, ...] = ()
    charges: Sequence[Charge] = ()
    answer: Slots | None = None

    def jobs_of(self, jobs: Sequence[LeasedJob]) -> Sequence[LeasedJob]:
        """The jobs that are sent at these slots, with what their answers may correct."""
        return [replace(job, corrected=self.corrected) for job in jobs] if self.corrected else jobs

    def wait_for(self, counter: str) -> Wait | None:
        """How long one counter by itself lets the next job wait; None: the jobs are not charged for it any more."""
        return next((wait for wait in self.waits if wait.counter == counter), None)


class SlotSource:
    """Acquires slots. Methods raise CountersUnavailable; without counters nothing is sent."""

    def __init__(
        self,
        limiter: Limiter,
        places: Places,
        flows: Flows,
        rules: RuleCache,
        flow_settings: FlowSettings,
        settings: Settings,
    ) -> None:
        self._limiter = limiter
        self._places = places
        self._flows = flows
        self._rules = rules
        self._flow_settings = flow_settings
        self._clock = CountersClock()
        self._clearing = Batcher(self._clear_markers, MAX_CLEARED_AT_ONCE, len, MAX_CLEARED_AT_ONCE)
        self.lead_time = LeadTime(int(settings.slot_lead_ms * 1000), int(settings.horizon_ms * 1000))

    async def prepare(self) -> None:
        """Learn what the counters' clock says, before the first slots depend on it."""
        for _ in range(CLOCK_LOOKS):
            asked_at = monotonic()
            self._clock.to_monotonic_s(asked_at, await self._limiter.now_us(), monotonic())

    async def rule_of(self, flow: str) -> RuleOfFlow | None:
        """The rule that deferred a flow's jobs; None: the rules are not known now."""
        try:
            rule = await self._rules.by_id(own_rule(flow).rule_id)
        except RulesUnavailable:
            return None
        deleted = rule is None
        if rule is None:
            rule = await self._flows.snapshot(flow)
        if rule is None:
            return None
        paused_in = self._flow_settings.version if self._flow_settings.paused(flow) else None
        return RuleOfFlow(rule, deleted, paused_in)

    async def acquire(self, head: FlowHead, rule: ActiveRule, n: int, at_us: int) -> Grant:
        """Up to `n` slots for the next jobs of a flow. `at_us`: when the flow was last seen, by the queue's clock."""
        charged, charges = await self._charges(head, rule)
        marker, place, lead = own_marker(head.name, rule), self._places.new_name(), self.lead_time
        asked_at = monotonic()
        slots = await self._limiter.acquire(
            charges, n, lead.horizon_us, lead.slot_us, marker, at_us, rule.backlog_marker_ttl_s, place
        )
        granted_at = self._clock.to_monotonic_s(asked_at, slots.given_us, monotonic())
        return self._grant(charged, charges, slots, asked_at, granted_at, place)

    async def acquire_turns(
        self, counter: str, requests: Sequence[SlotRequest], most: int, at_us: int
    ) -> list[Grant | None]:
        """Slots for flows that wait for the same counter, one for each in every round, up to `most` together.

        None for those that did not come up before the counter had no slot left.
        """
        charged = [put_first(counter, *await self._charges(request.head, request.rule)) for request in requests]
        turns = [
            TurnRequest(charges, n, own_marker(head.name, rule), rule.backlog_marker_ttl_s, max(1, shared))
            for (head, rule, n), (_, charges, shared) in zip(requests, charged, strict=True)
        ]
        if not turns:
            return []
        asked_at, lead, place = monotonic(), self.lead_time, self._places.new_name()
        answers = await self._limiter.acquire_turns(turns, most, lead.horizon_us, lead.slot_us, at_us, place)
        granted_at = self._clock.to_monotonic_s(asked_at, answers[0].given_us, monotonic())
        grants = [
            self._grant(rules, charges, slots, asked_at, granted_at, f"{place}{number}.")
            for number, ((rules, charges, _), slots) in enumerate(zip(charged, answers, strict=False), 1)
        ]
        return [*grants, *[None] * (len(requests) - len(grants))]

    def _grant(
        self,
        charged: Sequence[ChargedLimit],
        charges: Sequence[Charge],
        slots: Slots,
        asked_at_s: float,
        granted_at_s: float,
        place: str,
    ) -> Grant:
        """Build the grant; its places are held from now on."""
        place_counters = tuple([charge.counter for charge in charges if charge.holds_place])
        places = tuple([f"{place}{number + 1}" for number in range(len(slots.waits_us))]) if place_counters else ()
        for name in places:
            self._places.hold(place_counters, name)
        quotas = zip(charged, charges, slots.quota_waits_us, strict=True)
        waits = _of_rules([_wait(limit, charge, wait_us) for limit, charge, wait_us in quotas])
        longest = max(waits, key=_wait_us)
        is_believable = longest.wait_us == max(slots.quota_waits_us)
        next_wait_us = slots.next_wait_us if is_believable else longest.wait_us
        return Grant(
            tuple([granted_at_s + slot_us / 1e6 for slot_us in slots.waits_us]),
            granted_at_s,
            next_wait_us,
            granted_at_s + (next_wait_us - self.lead_time.request_us) / 1e6,
            longest,
            waits,
            asked_at_s,
            place_counters,
            places,
            tuple([charge for charge in charges if charge.stated_in is not None]),
            charges,
            slots,
        )

    async def _charges(self, head: FlowHead, rule: ActiveRule) -> tuple[list[ChargedLimit], list[Charge]]:
        """The flow's own quotas, then those of every other rule that its jobs are charged for and that is in force."""
        rules = charged_rules(head.name)
        costs = decode_costs(head.costs, len(rules))
        own, set_for_flow = rules[0], self._flow_settings.of(head.name)
        policies = own_policies(own, rule, set_for_flow) if set_for_flow else rule.drain_policies
        charges = [charge_for(live_counter(*own), policy, costs[0], rule.stated_in) for policy in policies]
        charged = [ChargedLimit(own, rule.revision)] * len(charges)
        for caller, policy in caller_rates(own, rule, set_for_flow):
            charges.append(charge_for(live_counter(*caller), policy, costs[0]))
            charged.append(ChargedLimit(caller, rule.revision))
        for other, cost in zip(rules[1:], costs[1:], strict=True):
            active = await self._rules.by_id(other.rule_id)
            if active is not None and not active.shadow:
                charges += [charge_for(live_counter(*other), each, cost, active.stated_in) for each in active.policies]
                charged += [ChargedLimit(other, active.revision)] * len(active.policies)
        return charged, charges

    async def give_back(self, grant: Grant) -> bool:
        """Give back the only slot of a grant, at which nothing was sent, if the next one is far away.

        False if it is lost, as it is where a counter that lets the flow wait has granted something since.
        """
        if grant.answer is None or len(grant.slots_s) != 1 or grant.next_wait_us < FAR_S * 1e6:
            return False
        try:
            return await self._limiter.give_back(grant.charges, grant.answer)
        except CountersUnavailable:
            return False

    async def mark_waiting(self, flow: str, wait: Wait, at_us: int) -> None:
        """Say that a flow waits for a counter that other callers share, so that no live request of theirs passes it.

        Only where the rule of the counter defers and lets nobody overtake. The marker fades unless it is set again.
        """
        rule_id, _, descriptor = wait.counter.partition("|")
        if not wait.counter or descriptor == caller_of(flow):
            return
        rule = await self._rules.by_id(rule_id)
        if rule is not None and rule.defers and not rule.overtaking:
            marker = backlog_of(live_counter(rule_id, descriptor))
            ttl_s = WAITING_MARKER_S + wait.wait_us / 1e6
            await self._limiter.set_backlog_marker(marker, at_us, ttl_s, renewed=False)

    async def clear_markers(
        self, flows: Collection[tuple[str, ActiveRule]], at_us: int, shared: Collection[str] = ()
    ) -> None:
        """Say that flows of these rules have no jobs any more, as they were seen at `at_us`.

        `shared`: markers of counters that other callers share, for which none of these flows waits any more. What one
        turn of the event loop says is one call.
        """
        markers = [*(marker for flow, rule in flows if (marker := own_marker(flow, rule))), *shared]
        if markers:
            await self._clearing.submit([(marker, at_us) for marker in markers])

    async def _clear_markers(self, batch: Sequence[Sequence[tuple[str, int]]]) -> list[None]:
        await self._limiter.clear_backlog_markers([marker for markers in batch for marker in markers])
        return [None] * len(batch)


def _wait(limit: ChargedLimit, charge: Charge, wait_us: int) -> Wait:
    believable_us = wait_us  # what answers state may leave more to be paid than the policy lets anybody wait
    if charge.stated_in is None:
        believable_us = believable_wait_us(wait_us, charge.policy)
    if charge.holds_place:
        return Wait(believable_us, limit.counter, for_place=True, revision=limit.revision)
    interval_us = math.ceil(charge.policy.emission_interval_us * charge.cost)
    return Wait(believable_us, limit.counter, interval_us, revision=limit.revision)


def _of_rules(waits: Sequence[Wait]) -> tuple[Wait, ...]:
    """The longest wait for each counter."""
    longest: dict[str, Wait] = {}
    for wait in waits:
        known = longest.get(wait.counter)
        if known is None or known.wait_us < wait.wait_us:
            longest[wait.counter] = wait
    return tuple(longest.values())


def _wait_us(wait: Wait) -> int:
    return wait.wait_us
