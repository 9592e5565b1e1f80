"""`/v1/rules/{id}/drain`: sets, pauses and purges the draining of a rule's flows."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel

from app.admin.operators import Operator
from app.admin.rest.auth import AsOperator
from app.admin.rest.dependencies import AdminParts, AdminPartsOf
from app.admin.rest.preconditions import Precondition, PreconditionOf
from app.admin.rest.rules import ObjectBody, rule_response, update_rule
from app.admin.rest.schemas import BODY_PROBLEMS, COMMON_PROBLEMS, DRAIN, rule_responses
from app.errors import NotFound
from app.queue.operations import PURGE_CURSOR
from app.rules.field_types import RuleId
from app.rules.model import WITHOUT_QUOTA, Rule, parse_rule
from app.web.openapi import json_request, problems

router = APIRouter(prefix="/rules/{rule_id}/drain", tags=["drains"])

RESPONSES = rule_responses(404, 409, 412)
GONE: dict[int | str, dict[str, object]] = {
    204: {"description": "The rule is deleted, and its flows are paused or resumed."}
}


class Purged(BaseModel):
    """How many jobs were canceled. `next` is the value of `after` with which to go on; null: nothing is left."""

    canceled: int
    next: str | None


@router.put(
    "",
    response_model=Rule,
    responses=RESPONSES | problems(*BODY_PROBLEMS),
    openapi_extra=json_request(DRAIN),
)
async def set_drain(
    rule_id: RuleId, operator: AsOperator, parts: AdminPartsOf, precondition: PreconditionOf, fields: ObjectBody
) -> Response:
    """Give the rule a drain rate of its own: `{"limit", "window_seconds", "burst"}`."""
    return await _update(parts, rule_id, operator, precondition, drain=fields)


@router.delete("", response_model=Rule, responses=RESPONSES)
async def delete_drain(
    rule_id: RuleId, operator: AsOperator, parts: AdminPartsOf, precondition: PreconditionOf
) -> Response:
    """Remove the rule's own drain rate, so that its flows drain from the rule's budget."""
    return await _update(parts, rule_id, operator, precondition, drain=None)


@router.post("/pause", response_model=Rule, responses=RESPONSES | GONE)
async def pause_drain(
    rule_id: RuleId, operator: AsOperator, parts: AdminPartsOf, precondition: PreconditionOf
) -> Response:
    """Pause the rule: its flows accept jobs and do not drain. What is left of a rule that is gone is paused too."""
    return await _set_paused(parts, rule_id, operator, precondition, paused=True)


@router.post("/resume", response_model=Rule, responses=RESPONSES | GONE)
async def resume_drain(
    rule_id: RuleId, operator: AsOperator, parts: AdminPartsOf, precondition: PreconditionOf
) -> Response:
    """Resume a paused rule: its flows drain again. So does what is left of a rule that went while it was paused."""
    return await _set_paused(parts, rule_id, operator, precondition, paused=False)


@router.post("/purge", responses=problems(*COMMON_PROBLEMS))
async def purge_drain(
    rule_id: RuleId,
    _: AsOperator,
    parts: AdminPartsOf,
    after: Annotated[str | None, Query(pattern=PURGE_CURSOR)] = None,
) -> Purged:
    """Cancel the jobs of the rule that wait to be sent, whether or not the rule still exists.

    Jobs that are already being sent are not affected. One request cancels at most 20000 jobs; `next` says whether there
    may be more.
    """
    canceled, following = await parts.operations.purge(rule_id, after)
    return Purged(canceled=canceled, next=following)


async def _set_paused(
    parts: AdminParts, rule_id: str, operator: Operator, precondition: Precondition, *, paused: bool
) -> Response:
    """A rule that is not in force says nothing to the workers any more, so its flows are told."""
    try:
        rule = await _edit(parts, rule_id, operator, precondition, paused=paused)
    except NotFound:
        if not await parts.operations.has_flows(rule_id):
            raise
        precondition.check(rule_id, None)
        if not await parts.operations.set_paused(rule_id, paused=paused):
            raise
        return Response(status_code=204)
    if not rule.enabled or rule.action in WITHOUT_QUOTA:
        await parts.operations.set_paused(rule_id, paused=paused)
    return rule_response(rule)


async def _update(
    parts: AdminParts,
    rule_id: str,
    operator: Operator,
    precondition: Precondition,
    **changed: object,
) -> Response:
    return rule_response(await _edit(parts, rule_id, operator, precondition, **changed))


async def _edit(
    parts: AdminParts, rule_id: str, operator: Operator, precondition: Precondition, **changed: object
) -> Rule:
    return await update_rule(
        parts.store,
        rule_id,
        lambda old: parse_rule(old | changed),
        updated_by=operator.actor,
        precondition=precondition,
    )
