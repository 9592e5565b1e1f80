"""Decisions by rule, counted at the price of an addition: the counters of a rule are found once, with its check."""

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily

from app.decision import RuleResult
from app.rules.active import ActiveRule

MAX_RULES = 1_000
OTHER = "other"
"""The `rule_id` of what is counted for all rules beyond the first ones."""


class RuleDecisions:
    """How many requests a rule has permitted, rejected, deferred and blocked."""

    def __init__(self) -> None:
        self.forward = self.reject = self.defer = self.block = 0


class DecisionsByRule:
    """The counters of the first rules that this process has seen, and one for all others."""

    def __init__(self) -> None:
        self._of: dict[str, RuleDecisions] = {}
        self._other = RuleDecisions()

    def of(self, rule_id: str) -> RuleDecisions:
        """The counters of a rule, whichever version of it."""
        found = self._of.get(rule_id)
        if found is None:
            if len(self._of) >= MAX_RULES:
                return self._other
            found = self._of[rule_id] = RuleDecisions()
        return found

    def of_all(self, rules: Iterable[ActiveRule]) -> tuple[RuleDecisions, ...]:
        """The counters of those of these rules that are enforced."""
        return tuple([self.of(rule_id) for rule_id in dict.fromkeys(one.rule_id for one in rules if not one.shadow)])

    def rejected(self, by: Iterable[RuleResult]) -> None:
        """Count a request that these quotas reject, once for each of their rules."""
        for rule_id in {one.match.rule.rule_id for one in by}:
            self.of(rule_id).reject += 1

    def family(self) -> CounterMetricFamily:
        """The counters as a metric, for a scrape."""
        family = CounterMetricFamily(
            "penstock_rule_decisions",
            "Requests by rule and decision: forward by each rule that applied, else by the rules that decided it.",
            labels=["rule_id", "decision"],
        )
        for rule_id, counts in (*self._of.items(), (OTHER, self._other)):
            family.add_metric([rule_id, "forward"], counts.forward)
            family.add_metric([rule_id, "reject"], counts.reject)
            family.add_metric([rule_id, "defer"], counts.defer)
            family.add_metric([rule_id, "block"], counts.block)
        return family
