"""The decision: what becomes of a request, from the rules that apply and what their counters say. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from app.limiter.keys import live_counter
from app.limiter.policy import Charge, QuotaState, Verdict
from app.queue.model import FrozenCharge
from app.rules.match import Match


class RuleResult(NamedTuple):
    """A rule that applies, and its quota's state."""

    match: Match
    state: QuotaState

    @property
    def refuses(self) -> bool:
        """Whether this rule, enforced, stands in the way: its quota is spent, or its flow has a backlog."""
        return (self.state.refused or self.state.backlog) and not self.match.rule.rule.shadow


@dataclass(frozen=True, slots=True)
class Forward:
    """Within every limit."""


@dataclass(frozen=True, slots=True)
class Reject:
    """Over the limits of these."""

    by: tuple[RuleResult, ...]


@dataclass(frozen=True, slots=True)
class Defer:
    """Into the flow of this one; `wait_us`: until the refusing quotas would allow it."""

    by: RuleResult
    wait_us: int


Decision = Forward | Reject | Defer


def defers(match: Match) -> bool:
    """Whether the rule, enforced, defers what is over its limit."""
    return match.rule.rule.on_limit == "defer" and not match.rule.rule.shadow


def charge_of(match: Match) -> Charge:
    """What a live request costs the rule's quota."""
    rule = match.rule.rule
    return Charge(
        counter=live_counter(rule.rule_id, match.descriptor),
        policy=match.rule.policy,
        cost=rule.cost,
        shadow=rule.shadow,
        blocked_by_backlog=defers(match) and not rule.overtaking,
    )


def frozen_charges(by: Match, matches: Sequence[Match]) -> tuple[FrozenCharge, ...]:
    """What each attempt of a deferred request costs: the deferring rule first, then every other that is enforced."""
    others = [match for match in matches if match is not by and not match.rule.rule.shadow]
    return tuple(FrozenCharge(m.rule.rule_id, m.descriptor, m.rule.rule.cost) for m in (by, *others))


def evaluate(matches: Sequence[Match], verdict: Verdict) -> tuple[RuleResult, ...]:
    """Each rule with its quota's state."""
    return tuple([_new(RuleResult, one) for one in zip(matches, verdict.states, strict=True)])


_new = tuple.__new__  # which is what the constructor of a named tuple calls, much later


def decide(results: Sequence[RuleResult], *, asynchronous: bool = False) -> Decision:
    """Where one refuses with `reject` it is refused; else deferred into the flow of the first that refuses.

    `matches` come in the order user, claim, ip, default. `asynchronous`: the client asked to be deferred.
    """
    refusing = [one for one in results if (one.state.refused or one.state.backlog) and one.refuses]
    if not refusing and not asynchronous:
        return _FORWARD
    rejecting = tuple(one for one in refusing if one.match.rule.rule.on_limit == "reject")
    if rejecting:
        return Reject(rejecting)
    if refusing:
        return Defer(refusing[0], max(one.state.wait_us for one in refusing))
    if asynchronous:
        deferring = [one for one in results if defers(one.match)]
        if deferring:
            return Defer(deferring[0], 0)
    return _FORWARD


_FORWARD = Forward()
