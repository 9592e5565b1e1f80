"""Explains what would be decided about a request."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from app.admin.operators import Operator, Role
from app.admin.services.explain_model import ExplainRequest, Explanation
from app.decision import Defer, Reject, RuleResult, decide, evaluate, quota_fields, quotas_of, results_of
from app.errors import InvalidInput
from app.identity.addresses import counted_as, parse_address
from app.identity.caller import Caller
from app.limiter.limiter import Limiter
from app.rules.cache import RuleCache
from app.rules.cost import with_stated_costs
from app.rules.in_force import describe
from app.rules.match import Match
from app.web.paths import path_forms


class ExplainService:
    """Explains decisions by the rules and counters that edges use. It spends nothing."""

    def __init__(self, rules_in_force: RuleCache, limiter: Limiter, no_rule: Literal["allow", "deny"]) -> None:
        self._rules = rules_in_force
        self._limiter = limiter
        self._no_rule = no_rule

    async def explain(self, operator: Operator, request: ExplainRequest) -> Explanation:
        """Return which rules apply to a request, what is left of each, and the decision.

        Raises Forbidden, InvalidInput, InvalidRule, MalformedRequest, RulesUnavailable and CountersUnavailable.
        """
        operator.require(Role.VIEWER)
        caller = Caller(request.user, "explain" if request.user else None, request.claims, _counted(request.ip))
        paths = path_forms(request.path.partition("?")[0].encode())
        headers = [(name.lower().encode(), value.encode()) for name, value in request.headers.items()]
        applicable = await self._rules.applicable(caller, request.method.upper(), paths, headers)
        matches = with_stated_costs(applicable, headers)
        quotas = quotas_of(matches)
        results = evaluate(quotas, await self._limiter.inspect(quotas.charges)) if quotas.charges else ()
        rules = [row for match in matches for row in _rows(match, results)]
        if self._no_rule == "deny" and all(match.rule.shadow for match in matches):
            return Explanation.model_validate({"rules": rules, "decision": "block", "by": []})
        return Explanation.model_validate({"rules": rules, **_decision_fields(matches, results)})


def _counted(text: str) -> str:
    """The text by which edges count an address. Raises InvalidInput where the text is not an address."""
    try:
        return counted_as(parse_address(text))
    except ValueError as error:
        raise InvalidInput(f"ip: {error}") from error


def _rows(match: Match, results: Sequence[RuleResult]) -> list[dict[str, Any]]:
    """One for each limit of the rule, and one if it has none."""
    rule = match.rule
    fields: dict[str, Any] = {
        "rule_id": rule.rule_id,
        "policy": rule.rule_id,
        "descriptor": match.descriptor,
        "action": rule.action,
        "shadow": rule.shadow,
        "refuses": rule.blocks,
    }
    if rule.unread:
        found = describe(rule.whole_rule(), datetime.now(UTC))
        fields |= {"source": found.source, "until": found.until}
    return [fields | quota_fields(one) | {"refuses": one.refuses} for one in results_of(match, results)] or [fields]


def _decision_fields(matches: Sequence[Match], results: Sequence[RuleResult]) -> dict[str, Any]:
    blocking = [match.rule.rule_id for match in matches if match.rule.blocks]
    if blocking:
        return {"decision": "block", "by": blocking}
    match decide(results, asynchronous=any(match.rule.always_defers for match in matches)):
        case Reject(by):
            return {"decision": "reject", "by": [result.policy.name for result in by]}
        case Defer(by, _):
            return {"decision": "defer", "by": [by.policy.name]}
    return {"decision": "forward", "by": []}
