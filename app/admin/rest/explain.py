"""`/v1/explain`: explains what would be decided about a request. It spends nothing."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from app.admin.rest.auth import AsViewer
from app.admin.rest.bodies import body_as
from app.admin.rest.dependencies import AdminPartsOf
from app.admin.rest.schemas import BODY_PROBLEMS, COMMON_PROBLEMS
from app.decision import Defer, Reject, RuleResult, decide, evaluate, quota_fields, quotas_of, results_of
from app.errors import InvalidInput
from app.identity.addresses import counted_as, parse_address
from app.identity.caller import Caller
from app.rules.cost import with_stated_costs
from app.rules.field_types import Token
from app.rules.in_force import Source, describe
from app.rules.match import Match
from app.rules.model import Action
from app.web.openapi import json_request, problems
from app.web.paths import path_forms

router = APIRouter(tags=["explain"])


class ExplainRequest(BaseModel):
    """The request to explain, and its caller. Without `user` the caller is anonymous.

    `headers` are those by which rules count; other headers change nothing. Neither the answer nor any log has the value
    of a secret one.
    """

    model_config = ConfigDict(extra="forbid")

    user: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    ip: Annotated[str, Field(max_length=64)] = "127.0.0.1"
    claims: Annotated[dict[str, str | bool | int | float], Field(max_length=32)] = {}
    method: Annotated[str, Field(max_length=64)] = "GET"
    path: Annotated[str, Field(max_length=8192)] = "/"
    headers: Annotated[dict[Token, Annotated[str, Field(max_length=8192)]], Field(max_length=64)] = {}


class ExplainedRule(BaseModel):
    """A limit of a rule that applies, the descriptor that it counts, and what is left of it.

    `policy` is what clients call the limit. `refuses` says whether it refuses the request now. A rule that blocks or
    allows has no limit. `source` says where the limit and the drain rate of a rule with a schedule or a temporary value
    come from, and `until` when they change by themselves.
    """

    rule_id: str
    policy: str
    descriptor: str
    action: Action
    shadow: bool
    refuses: bool
    limit: int | None = None
    window_seconds: float | None = None
    headroom_ms: int | None = None
    burst: int | None = None
    algorithm: str | None = None
    cost: int | None = None
    on_limit: Literal["reject", "defer"] | None = None
    remaining: int | None = None
    in_flight: int | None = None
    wait_seconds: float | None = None
    backlog: bool | None = None
    source: Source = "rule"
    until: datetime | None = None


class Explanation(BaseModel):
    """The rules that apply to the request, the decision, and the ids of the rules that lead to it."""

    rules: list[ExplainedRule]
    decision: Literal["forward", "reject", "defer", "block"]
    by: list[str]


@router.post(
    "/explain",
    response_model=Explanation,
    responses=problems(*COMMON_PROBLEMS, *BODY_PROBLEMS),
    openapi_extra=json_request(ExplainRequest.__name__),
)
async def explain(
    _: AsViewer, parts: AdminPartsOf, request: Annotated[ExplainRequest, Depends(body_as(ExplainRequest))]
) -> dict[str, Any]:
    """Explain which rules apply to a request, what is left of each, and the decision. This spends nothing."""
    caller = Caller(request.user, "explain" if request.user else None, request.claims, _counted(request.ip))
    paths = path_forms(request.path.partition("?")[0].encode())
    headers = [(name.lower().encode(), value.encode()) for name, value in request.headers.items()]
    applicable = await parts.rules_in_force.applicable(caller, request.method.upper(), paths, headers)
    matches = with_stated_costs(applicable, headers)
    quotas = quotas_of(matches)
    results = evaluate(quotas, await parts.limiter.inspect(quotas.charges)) if quotas.charges else ()
    rules = [row for match in matches for row in _rows(match, results)]
    return {"rules": rules, **_decision_fields(matches, results)}


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
    if rule.rule.schedule or rule.rule.temporary:
        found = describe(rule.rule, datetime.now(UTC))
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
