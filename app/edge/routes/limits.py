"""`/_penstock/limits`: the limits that apply to the caller, and what is left of them."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from app.decision import RuleResult, cost_of, evaluate, quotas_of
from app.edge.documents import ALWAYS, Limits
from app.edge.routes.dependencies import CallerOf, PartsOf
from app.rules.cost import with_stated_costs
from app.web.openapi import bearer, problems
from app.web.paths import path_forms
from app.web.problem_handlers import response_of
from app.web.problems import json_reply

router = APIRouter(tags=["limits"])


@router.get("/limits", response_model=Limits, responses=problems(*ALWAYS), openapi_extra=bearer())
async def get_limits(
    parts: PartsOf,
    caller: CallerOf,
    request: Request,
    method: Annotated[str, Query(max_length=64)] = "GET",
    path: Annotated[str, Query(max_length=2048, pattern="^/")] = "/",
) -> Response:
    """List the limits that would apply to a request of the caller with this method and path; spends nothing.

    Where a rule lets requests state what they cost, this request's own header says for which cost.
    """
    raw_path = path.partition("?")[0].encode()
    matches = await parts.rules.applicable(caller, method.upper(), path_forms(raw_path))
    quotas = quotas_of(with_stated_costs(matches, request.headers.raw))
    results = evaluate(quotas, await parts.limiter.inspect(quotas.charges)) if quotas.charges else ()
    return response_of(json_reply(200, {"limits": [_fields(one) for one in results if not one.match.rule.shadow]}))


def _fields(one: RuleResult) -> dict[str, Any]:
    rule, policy = one.match.rule, one.policy
    return {
        "rule_id": rule.rule_id,
        "policy": policy.name,
        "limit": policy.limit,
        "window_seconds": policy.window_s,
        "burst": policy.burst,
        "algorithm": policy.algorithm,
        "cost": cost_of(one.match, policy),
        "on_limit": rule.on_limit,
        "remaining": one.state.remaining,
        "wait_seconds": one.state.wait_us / 1e6,
        "backlog": one.state.backlog,
    }
