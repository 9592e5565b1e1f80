"""Previews: what a changed rule would have done to the latest real requests. Nothing is written."""

import time
from typing import Any

from app.admin.operators import Operator, Role
from app.admin.services.preview_model import Preview
from app.admin.services.preview_report import merged, report
from app.admin.services.rules import Rules
from app.errors import Conflict, InvalidRule
from app.rules.active import ActiveRule
from app.rules.key_headers import KeyHeaders
from app.rules.model import Rule, editable_fields
from app.traffic.exchange import TrafficCollector

SAME_CALLERS = ("key_type", "key_value", "secret")
"""The fields that say whom a rule counts: another rule's callers are not those of the sample."""


class Previews:
    """Replays what edges have seen lately."""

    def __init__(self, rules: Rules, key_headers: KeyHeaders, traffic: TrafficCollector) -> None:
        self._rules = rules
        self._key_headers = key_headers
        self._traffic = traffic

    async def preview(self, operator: Operator, rule_id: str, fields: dict[str, Any]) -> Preview:
        """Return what the rule with these fields would have done to the latest requests to the rule that is stored.

        Raises Forbidden, NotFound, InvalidRule, RulesUnavailable, and Conflict where no requests are known.
        """
        operator.require(Role.VIEWER)
        changed = self._key_headers.admit({**editable_fields(fields), "rule_id": rule_id})
        stored = await self._rules.get(operator, rule_id)
        _require_same_callers(stored, changed)
        samples = await self._traffic.collect(rule_id)
        if not samples:
            raise Conflict(f"No edge has seen requests to the rule {rule_id!r} lately, so there is nothing to preview.")
        return report(merged(samples), ActiveRule(stored, 1), ActiveRule(changed, 1), time.time())


def _require_same_callers(stored: Rule, changed: Rule) -> None:
    for name in SAME_CALLERS:
        if getattr(changed, name) != getattr(stored, name):
            raise InvalidRule(f"{name}: a preview cannot change whom the rule counts")
    if (changed.match.claims, changed.match.anonymous) != (stored.match.claims, stored.match.anonymous):
        raise InvalidRule("match: a preview cannot change `claims` and `anonymous`, which samples do not have")
