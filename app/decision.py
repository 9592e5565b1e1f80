"""The decision: forward, reject or defer, from the rules that apply and the state of their quotas. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from app.limiter.keys import backlog_markers, live_counter
from app.limiter.policy import Charge, Policy, QuotaState, Verdict
from app.queue.model import FrozenCharge
from app.rules.match import Match


class RuleResult(NamedTuple):
    """A quota of a rule that applies to a request, and its state."""

    match: Match
    policy: Policy
    state: QuotaState

    @property
    def refuses(self) -> bool:
        """Whether the rule is enforced and its quota is spent or its flow has a backlog."""
        return (self.state.refused or self.state.backlog) and not self.match.rule.shadow

    @property
    def wait_us(self) -> int:
        """How long it surely refuses; a place among the requests in flight may be free at any time."""
        return 0 if self.policy.limits_concurrency else self.state.wait_us


@dataclass(frozen=True, slots=True)
class Forward:
    """The request is within every limit."""


@dataclass(frozen=True, slots=True)
class Reject:
    """The request is over the limits of the rules in `by`."""

    by: tuple[RuleResult, ...]


@dataclass(frozen=True, slots=True)
class Defer:
    """The request joins a flow of the rule in `by`; `wait_us`: until all refusing quotas would allow it."""

    by: RuleResult
    wait_us: int


Decision = Forward | Reject | Defer


@dataclass(frozen=True, slots=True)
class Quotas:
    """All quotas of the rules that apply to a request: whose each is, and what a live request costs it."""

    matches: tuple[Match, ...]
    policies: tuple[Policy, ...]
    charges: tuple[Charge, ...]


def quotas_of(matches: Sequence[Match]) -> Quotas:
    """The quotas of these rules, those of one rule behind each other."""
    pairs = [(match, policy) for match in matches for policy in match.rule.policies]
    charges = tuple(_charge(match, policy) for match, policy in pairs)
    return Quotas(tuple(match for match, _ in pairs), tuple(policy for _, policy in pairs), charges)


def _charge(match: Match, policy: Policy) -> Charge:
    """What a live request costs a quota of the rule. The first one heeds the backlog for all of them."""
    rule = match.rule
    is_first = policy is rule.policies[0]
    return Charge(
        counter=live_counter(rule.rule_id, match.descriptor) + policy.suffix,
        policy=policy,
        cost=cost_of(match, policy),
        shadow=rule.shadow,
        markers=backlog_markers_of(match) if is_first and rule.defers and not rule.overtaking else (),
        stated_in=rule.stated_in if policy.cost is None else None,
    )


def cost_of(match: Match, policy: Policy) -> int:
    """What the request costs this quota of the rule."""
    return match.cost if policy.cost is None else policy.cost


def backlog_markers_of(match: Match) -> tuple[str, ...]:
    """The backlog markers of the rule's counter and of the caller there; the last one is the caller's own."""
    return backlog_markers(live_counter(match.rule.rule_id, match.descriptor), match.descriptor, match.caller)


def frozen_charges(by: Match, matches: Sequence[Match]) -> tuple[FrozenCharge, ...]:
    """What each attempt of a deferred request costs: the deferring rule first, then every other enforced rule."""
    others = [match for match in dict.fromkeys(matches) if match is not by and not match.rule.shadow]
    return tuple(FrozenCharge(m.rule.rule_id, m.descriptor, m.cost) for m in (by, *others))


def evaluate(quotas: Quotas, verdict: Verdict) -> tuple[RuleResult, ...]:
    """Pair each quota with its state; both come in the same order."""
    return tuple([_new(RuleResult, one) for one in zip(quotas.matches, quotas.policies, verdict.states, strict=True)])


def results_of(match: Match, results: Sequence[RuleResult]) -> list[RuleResult]:
    """The results of one rule's quotas, in the order in which the rule has them."""
    return sorted([one for one in results if one.match is match], key=_name)


def _name(result: RuleResult) -> str:
    return result.policy.name


def quota_fields(one: RuleResult) -> dict[str, Any]:
    """A quota and what is left of it, as both APIs show it."""
    policy = one.policy
    return {
        "policy": policy.name,
        "limit": policy.limit,
        "window_seconds": None if policy.limits_concurrency else policy.window_s,
        "headroom_ms": policy.headroom_ms,
        "burst": policy.burst,
        "algorithm": policy.algorithm,
        "cost": cost_of(one.match, policy),
        "on_limit": one.match.rule.on_limit,
        "remaining": one.state.remaining,
        "in_flight": policy.limit - one.state.remaining if policy.limits_concurrency else None,
        "wait_seconds": one.wait_us / 1e6,
        "backlog": one.state.backlog,
    }


_new = tuple.__new__  # the generated constructor of a named tuple calls it too, but takes several times as long


def decide(results: Sequence[RuleResult], *, asynchronous: bool = False) -> Decision:
    """Reject if a refusing rule says `reject`; else defer under the first rule that refuses; else forward.

    `results` come in the order composite, user, claim, header, ip, default. With `asynchronous` (the client asked to be
    deferred, or a rule always defers) a request within its limits is deferred under the first rule that defers. A rule
    that always defers comes before those that refuse, so that all requests to it join one flow.
    """
    refusing = [one for one in results if (one.state.refused or one.state.backlog) and one.refuses]
    if not refusing and not asynchronous:
        return _FORWARD
    rejecting = tuple(one for one in refusing if one.match.rule.on_limit == "reject")
    if rejecting:
        return Reject(rejecting)
    deferring = [one for one in results if one.match.rule.always_defers] or refusing
    if not deferring:
        deferring = [one for one in results if one.match.rule.defers]
    wait_us = max([one.wait_us for one in refusing], default=0)
    return Defer(deferring[0], wait_us) if deferring else _FORWARD


_FORWARD = Forward()
