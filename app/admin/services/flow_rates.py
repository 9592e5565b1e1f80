"""What is permitted to a flow, and what it waits for, by the rules in force."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from app.admin.services.flows_model import FlowState, PausedBy
from app.errors import RulesUnavailable
from app.limiter.policy import Policy
from app.queue.flow_name import charged_rules, own_rule_id
from app.queue.flow_settings import FlowSetting, rate_policy, rated_policies, setting_names
from app.queue.flow_views import FlowDetails
from app.rules.active import ActiveRule
from app.rules.cache import RuleCache


class PermittedRate(NamedTuple):
    """The lowest rate of all limits that a flow's jobs are charged for, in jobs a second, and whose limit that is."""

    per_s: float
    rule_id: str


class FlowCondition(NamedTuple):
    """What a flow does, as a word and in words, and what of it is paused."""

    state: FlowState
    detail: str
    paused_by: PausedBy | None = None


class FlowRates:
    """Reads the rules from memory, or the cache Redis. Where that cannot be reached, nothing is known of rates."""

    def __init__(self, rules: RuleCache) -> None:
        self._rules = rules

    async def permitted(self, flow: str, settings: Mapping[str, FlowSetting]) -> PermittedRate | None:
        """The rate that is permitted to a flow; None where no rule in force has a rate, or rules are not known.

        `settings`: what is set for flows, by name.
        """
        own, *others = [charged.rule_id for charged in charged_rules(flow)]
        rates: list[PermittedRate] = []
        rule = await self._rule(own)
        if rule is not None:
            of_counter, *of_caller = [settings.get(name) for name in setting_names(flow)]
            rates += _rates(rule, rated_policies(rule, of_counter))
            for setting in of_caller:
                if setting is not None and setting.rate is not None:
                    rates += _rates(rule, [rate_policy(rule, setting.rate, setting.version)])
        for rule_id in others:
            rule = await self._rule(rule_id)
            if rule is not None and not rule.shadow:
                rates += _rates(rule, rule.policies)
        return min(rates, default=None)

    async def condition(self, details: FlowDetails, settings: Mapping[str, FlowSetting]) -> FlowCondition:
        """What a flow does now."""
        own = own_rule_id(details.counts.flow)
        for name in setting_names(details.counts.flow):
            if (setting := settings.get(name)) is not None and setting.paused:
                until = "" if setting.paused_until_ms is None else f" until {_clock(setting.paused_until_ms / 1000)}"
                return FlowCondition(FlowState.PAUSED, f"{setting.changed_by} has paused it{until}.", "flow")
        rule = await self._rule(own)
        if details.counts.parked or (rule is not None and rule.paused):
            return FlowCondition(FlowState.PAUSED, f"The rule {own} is paused.", "rule")
        if details.counts.hold_until_s > details.at_s:
            until = _clock(details.counts.hold_until_s)
            why = f"The app server takes no more for now ({details.hold_code}), until {until}."
            return FlowCondition(FlowState.HELD, why)
        if details.for_place:
            why = f"As many requests are in flight as {details.waits_for} allows."
            return FlowCondition(FlowState.WAITING_FOR_PLACE, why)
        if details.waits_for not in {"", own}:
            return FlowCondition(FlowState.WAITING_FOR_RULE, f"It waits for the limit of {details.waits_for}.")
        return FlowCondition(FlowState.DRAINING, "It drains at the permitted rate.")

    async def _rule(self, rule_id: str) -> ActiveRule | None:
        try:
            return await self._rules.by_id(rule_id)
        except RulesUnavailable:
            return None


def _clock(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%H:%M:%S UTC")


def _rates(rule: ActiveRule, policies: Sequence[Policy]) -> Iterator[PermittedRate]:
    for policy in policies:
        if not policy.limits_concurrency:
            cost = rule.cost if policy.cost is None else policy.cost
            yield PermittedRate(1e6 / (policy.emission_interval_us * max(1, cost)), rule.rule_id)
