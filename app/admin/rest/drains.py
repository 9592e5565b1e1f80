"""`/v1/rules/{id}/drain`: sets, pauses and purges the draining of a rule's flows."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel

from app.admin.rest.auth import AsOperator
from app.admin.rest.dependencies import AdminPartsOf
from app.admin.rest.preconditions import PreconditionOf
from app.admin.rest.rules import ForSeconds, ObjectBody, rule_response
from app.admin.rest.schemas import BODY_PROBLEMS, COMMON_PROBLEMS, DRAIN, rule_responses
from app.queue.operations import PURGE_CURSOR
from app.rules.field_types import RuleId
from app.rules.model import Rule
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
    rule_id: RuleId,
    operator: AsOperator,
    parts: AdminPartsOf,
    precondition: PreconditionOf,
    fields: ObjectBody,
    for_seconds: ForSeconds = None,
) -> Response:
    """Give the rule a drain rate of its own: `{"limit", "window_seconds", "burst"}`."""
    return rule_response(await parts.drains.set_rate(operator, rule_id, fields, precondition, for_seconds))


@router.delete("", response_model=Rule, responses=RESPONSES)
async def delete_drain(
    rule_id: RuleId, operator: AsOperator, parts: AdminPartsOf, precondition: PreconditionOf
) -> Response:
    """Remove the rule's own drain rate, so that its flows drain from the rule's budget."""
    return rule_response(await parts.drains.unset_rate(operator, rule_id, precondition))


@router.post("/pause", response_model=Rule, responses=RESPONSES | GONE)
async def pause_drain(
    rule_id: RuleId,
    operator: AsOperator,
    parts: AdminPartsOf,
    precondition: PreconditionOf,
    for_seconds: ForSeconds = None,
) -> Response:
    """Pause the rule: its flows accept jobs and do not drain. What is left of a rule that is gone is paused too."""
    return _paused(await parts.drains.set_paused(operator, rule_id, precondition, for_seconds, paused=True))


@router.post("/resume", response_model=Rule, responses=RESPONSES | GONE)
async def resume_drain(
    rule_id: RuleId, operator: AsOperator, parts: AdminPartsOf, precondition: PreconditionOf
) -> Response:
    """Resume a paused rule: its flows drain again. So does what is left of a rule that went while it was paused."""
    return _paused(await parts.drains.set_paused(operator, rule_id, precondition, paused=False))


@router.post("/purge", responses=problems(*COMMON_PROBLEMS))
async def purge_drain(
    rule_id: RuleId,
    operator: AsOperator,
    parts: AdminPartsOf,
    after: Annotated[str | None, Query(pattern=PURGE_CURSOR)] = None,
) -> Purged:
    """Cancel the jobs of the rule that wait to be sent, whether or not the rule still exists.

    Jobs that are already being sent are not affected. One request cancels at most 20000 jobs; `next` says whether there
    may be more.
    """
    page = await parts.drains.purge(operator, rule_id, after)
    return Purged(canceled=page.canceled, next=page.next)


def _paused(rule: Rule | None) -> Response:
    return Response(status_code=204) if rule is None else rule_response(rule)
