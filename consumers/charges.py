"""What a flow's next jobs are charged for, how long that may let them wait, and the flow's backlog marker."""

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from app.limiter.algorithms import ALGORITHMS
from app.limiter.keys import backlog_of, caller_backlog_of, live_counter, rule_and_descriptor
from app.limiter.policy import Charge, CostHeader, Policy
from app.queue.flow_name import ChargedRule, caller_of, own_rule, shared_with
from app.queue.flow_settings import FlowSetting, rate_policy, rated_policies
from app.rules.active import ActiveRule

LONGEST_HORIZON_US = 4_000_000
ASK_AGAIN_US = 1_000_000


class ChargedLimit(NamedTuple):
    """One limit that a flow's jobs are charged for: its counter's rule, in the revision that this worker knows."""

    rule: ChargedRule
    revision: int

    @property
    def counter(self) -> str:
        """The counter as the queue names it, `<rule id>|<descriptor>`."""
        return self.rule.counter


def own_policies(own: ChargedRule, rule: ActiveRule, settings: Sequence[FlowSetting]) -> Sequence[Policy]:
    """The quotas from which a flow drains at its own counter, as its rule and what is set for the counter say."""
    return rated_policies(rule, next((one for one in settings if one.descriptor == own.descriptor), None))


def caller_rates(
    own: ChargedRule, rule: ActiveRule, settings: Sequence[FlowSetting]
) -> Iterator[tuple[ChargedRule, Policy]]:
    """The rate of the caller of a flow whose counter is shared, which holds beside the counter's quotas."""
    for setting in settings:
        if setting.descriptor != own.descriptor and setting.rate is not None:
            policy = rate_policy(rule, setting.rate, setting.version)
            yield ChargedRule(own.rule_id, setting.descriptor), policy


def charge_for(counter: str, policy: Policy, cost: int, stated_in: CostHeader | None = None) -> Charge:
    """What a job that costs so much by its rule is charged at a quota of the rule, which has this counter.

    A job costs no more than may be spent at once: one that was deferred under a larger burst would wait for ever.
    """
    _, units = ALGORITHMS[policy.algorithm].lua_parameters(policy)
    if policy.cost is not None:
        return Charge(counter + policy.suffix, policy, min(policy.cost, units))
    return Charge(counter + policy.suffix, policy, min(cost, units), stated_in=stated_in)


def believable_wait_us(wait_us: int, policy: Policy) -> int:
    """A wait that is longer than this policy can let anybody wait is by another version of the rule: ask again soon."""
    longest_us = max(policy.counted_window_us, policy.emission_interval_us * policy.burst) + LONGEST_HORIZON_US
    return wait_us if wait_us <= longest_us else ASK_AGAIN_US


def put_first(
    counter: str, charged: Sequence[ChargedLimit], charges: Sequence[Charge]
) -> tuple[list[ChargedLimit], list[Charge], int]:
    """Both lists with what is charged to this counter's rule in front, and how many quotas those are."""
    pairs = sorted(zip(charged, charges, strict=True), key=lambda pair: pair[0].counter != counter)
    shared = sum(limit.counter == counter for limit in charged)
    return [limit for limit, _ in pairs], [charge for _, charge in pairs], shared


def own_marker(flow: str, rule: ActiveRule) -> str:
    """The backlog marker that a flow of this rule sets; empty where live requests may pass its jobs."""
    return "" if rule.overtaking else caller_marker(flow)


def place_markers(flow: str, place_counters: Collection[str]) -> list[str]:
    """The markers of counters of places that the flow's caller shares with others.

    A place may be free long before the time until which a flow was marked as waiting for it.
    """
    caller = caller_of(flow)
    return [backlog_of(one) for one in place_counters if rule_and_descriptor(one).partition("|")[2] != caller]


def caller_marker(flow: str) -> str:
    """The backlog marker of a flow: that of its own counter, or of the caller if others are counted there too."""
    own, caller = own_rule(flow), shared_with(flow)
    counter = live_counter(*own)
    return caller_backlog_of(counter, caller) if caller else backlog_of(counter)
