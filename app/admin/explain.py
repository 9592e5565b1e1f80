"""`/v1/explain`: what would become of a request, and why; spends nothing."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from app.admin.auth import Viewer
from app.admin.bodies import body_as
from app.admin.schemas import ALWAYS, WITH_BODY
from app.decision import Defer, Reject, RuleResult, charge_of, decide, evaluate
from app.errors import InvalidInput
from app.identity.addresses import counted_as, parse_address
from app.identity.caller import Caller
from app.limiter.limiter import Limiter
from app.rules.cache import RuleCache
from app.web.openapi import json_request, problems
from app.web.paths import path_forms

router = APIRouter(tags=["explain"])


class ExplainRequest(BaseModel):
    """Who asks, and for what."""

    model_config = ConfigDict(extra="forbid")

    user: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    ip: Annotated[str, Field(max_length=64)] = "127.0.0.1"
    claims: Annotated[dict[str, str], Field(max_length=32)] = {}
    method: Annotated[str, Field(max_length=64)] = "GET"
    path: Annotated[str, Field(max_length=8192)] = "/"


class RuleThatApplies(BaseModel):
    """A rule, whom it counts, and what is left of it."""

    rule_id: str
    descriptor: str
    limit: int
    window_seconds: float
    cost: int
    on_limit: Literal["reject", "defer"]
    shadow: bool
    remaining: int
    wait_seconds: float
    backlog: bool
    refuses: bool


class Explanation(BaseModel):
    """What would become of the request now, and by which rules."""

    rules: list[RuleThatApplies]
    decision: Literal["forward", "reject", "defer"]
    by: list[str]


def rules_of(request: Request) -> RuleCache:
    """What `build_admin` was given."""
    rules: RuleCache = request.app.state.rules
    return rules


def limiter_of(request: Request) -> Limiter:
    """What `build_admin` was given."""
    limiter: Limiter = request.app.state.limiter
    return limiter


@router.post(
    "/explain",
    response_model=Explanation,
    responses=problems(*ALWAYS, *WITH_BODY),
    openapi_extra=json_request(ExplainRequest.__name__),
)
async def explain(
    _: Viewer,
    rules: Annotated[RuleCache, Depends(rules_of)],
    limiter: Annotated[Limiter, Depends(limiter_of)],
    question: Annotated[ExplainRequest, Depends(body_as(ExplainRequest))],
) -> dict[str, Any]:
    """The rules that apply, what is left of each, and the decision."""
    caller = Caller(question.user, "explain" if question.user else None, question.claims, _counted(question.ip))
    matches = await rules.applicable(caller, question.method, path_forms(question.path.encode()))
    verdict = await limiter.inspect([charge_of(match) for match in matches]) if matches else None
    results = evaluate(matches, verdict) if verdict else ()
    return {"rules": [_fields(one) for one in results], **_decision(results)}


def _counted(text: str) -> str:
    """The text by which edges count an address. Raises InvalidInput where the text is not an address."""
    try:
        return counted_as(parse_address(text))
    except ValueError as error:
        raise InvalidInput(f"ip: {error}") from error


def _fields(one: RuleResult) -> dict[str, Any]:
    rule = one.match.rule
    return {
        "rule_id": rule.rule_id,
        "descriptor": one.match.descriptor,
        "limit": rule.limit,
        "window_seconds": rule.window_seconds,
        "cost": rule.cost,
        "on_limit": rule.on_limit,
        "shadow": rule.shadow,
        "remaining": one.state.remaining,
        "wait_seconds": one.state.wait_us / 1e6,
        "backlog": one.state.backlog,
        "refuses": one.refuses,
    }


def _decision(results: tuple[RuleResult, ...]) -> dict[str, Any]:
    match decide(results):
        case Reject(by):
            return {"decision": "reject", "by": [one.match.rule.rule_id for one in by]}
        case Defer(by, _):
            return {"decision": "defer", "by": [by.match.rule.rule_id]}
    return {"decision": "forward", "by": []}
