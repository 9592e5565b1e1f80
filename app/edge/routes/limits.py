"""`/_penstock/limits`: the limits that apply to the caller, and what is left of them."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from app.decision import RuleResult, evaluate, quota_fields, quotas_of, results_of
from app.edge.documents import ALWAYS, Limits
from app.edge.routes.dependencies import CallerOf, PartsOf
from app.rules.cost import with_stated_costs
from app.rules.match import Match
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

    The request's own headers count: those by which rules count, and those that state what a request costs. A rule that
    blocks or allows is listed without a limit.
    """
    raw_path = path.partition("?")[0].encode()
    headers = request.headers.raw
    applicable = await parts.rules.applicable(caller, method.upper(), path_forms(raw_path), headers)
    matches = [match for match in with_stated_costs(applicable, headers) if not match.rule.shadow]
    quotas = quotas_of(matches)
    results = evaluate(quotas, await parts.limiter.inspect(quotas.charges)) if quotas.charges else ()
    return response_of(json_reply(200, {"limits": [row for match in matches for row in _rows(match, results)]}))


def _rows(match: Match, results: Sequence[RuleResult]) -> list[dict[str, Any]]:
    """One for each limit of the rule, and one if it has none."""
    fields: dict[str, Any] = {"rule_id": match.rule.rule_id, "action": match.rule.action}
    return [fields | quota_fields(one) for one in results_of(match, results)] or [fields]
