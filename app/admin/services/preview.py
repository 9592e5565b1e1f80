"""Previews: what a changed rule would have done to the latest real requests. Nothing is written."""

import time
from typing import Any

from app.admin.operators import Operator, Role
from app.admin.services.preview_model import Preview
from app.admin.services.preview_report import merged, report
from app.admin.services.rules import Rules
from app.errors import Conflict, InvalidRule
from app.limiter.keys import descriptor
from app.rules.active import ActiveRule
from app.rules.key_headers import KeyHeaders
from app.rules.keys import WILDCARD
from app.rules.model import Rule, editable_fields
from app.traffic.exchange import TrafficCollector
from app.traffic.samples import RuleSample

SAME_CALLERS = ("key_type", "key_value", "secret")
"""The fields that say whom a rule counts: another rule's callers are not those of the sample."""


class Previews:
    """Replays what edges have seen lately."""

    def __init__(self, rules: Rules, key_headers: KeyHeaders, traffic: TrafficCollector) -> None:
        self._rules = rules
        self._key_headers = key_headers
        self._traffic = traffic

    async def preview(
        self, operator: Operator, rule_id: str, fields: dict[str, Any], traffic_of: str | None = None
    ) -> Preview:
        """Return what the rule with these fields would have done to the latest requests to the rule that is stored.

        `traffic_of` names another rule for one that is new: the requests are those to this rule by callers whom the new
        one counts. Raises Forbidden, NotFound, InvalidRule, RulesUnavailable, and Conflict where no requests are known.
        """
        operator.require(Role.VIEWER)
        changed = self._key_headers.admit({**editable_fields(fields), "rule_id": rule_id})
        stored = await self._rules.get(operator, traffic_of or rule_id)
        caller = _only_caller(stored, changed) if traffic_of else None
        if caller is None:
            _require_same_callers(stored, changed)
        _require_same_conditions(stored, changed)
        sample = _of_caller(await self._sample(stored.rule_id), caller)
        preview = report(sample, ActiveRule(stored, 1), ActiveRule(changed, 1), time.time())
        return preview.model_copy(update={"notes": [*preview.notes, *_notes(traffic_of)]})

    async def _sample(self, rule_id: str) -> RuleSample:
        samples = await self._traffic.collect(rule_id)
        if not samples:
            raise Conflict(f"No edge has seen requests to the rule {rule_id!r} lately, so there is nothing to preview.")
        return merged(samples)


def _only_caller(stored: Rule, new: Rule) -> str | None:
    """The caller whom a new rule counts of all those whom another one counts each; None where they count the same."""
    counts_each = stored.key_value == WILDCARD and new.key_value != WILDCARD
    if not counts_each or new.key_type != stored.key_type or not isinstance(new.key_type, str) or new.secret:
        return None
    return descriptor(new.key_type, str(new.key_value))


def _of_caller(sample: RuleSample, caller: str | None) -> RuleSample:
    """The requests of one caller, which the sample has all or none of; the whole sample for None. Raises Conflict."""
    if caller is None:
        return sample
    if caller not in sample.arrivals:
        raise Conflict(f"The sample has no requests of {caller}, so there is nothing to preview.")
    return RuleSample(1.0, sample.since_s, {caller: sample.arrivals[caller]})


def _notes(traffic_of: str | None) -> list[str]:
    if traffic_of is None:
        return []
    return [f"The requests are those to the rule {traffic_of!r}, as if the new rule applied to them in its place."]


def _require_same_callers(stored: Rule, changed: Rule) -> None:
    for name in SAME_CALLERS:
        if getattr(changed, name) != getattr(stored, name):
            raise InvalidRule(f"{name}: a preview cannot change whom the rule counts")


def _require_same_conditions(stored: Rule, changed: Rule) -> None:
    if (changed.match.claims, changed.match.anonymous) != (stored.match.claims, stored.match.anonymous):
        raise InvalidRule("match: a preview cannot change `claims` and `anonymous`, which samples do not have")
