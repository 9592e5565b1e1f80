"""`/v1/rules/{id}/drain`: how fast a rule's flows drain, changed while they do."""

from fastapi import APIRouter, Response
from pydantic import BaseModel

from app.admin.auth import Drainer
from app.admin.dead_letters import OperationsOf
from app.admin.preconditions import PreconditionOf
from app.admin.rules import ObjectOf, StoreOf, change, rule_response
from app.admin.schemas import ALWAYS, DRAIN, WITH_BODY, answers_rule
from app.rules.model import Rule, RuleId
from app.web.openapi import json_request, problems

router = APIRouter(prefix="/rules/{rule_id}/drain", tags=["drains"])

ANSWERS = answers_rule(404, 409, 412)


class Purged(BaseModel):
    """How many jobs were canceled."""

    canceled: int


@router.put(
    "",
    response_model=Rule,
    responses=ANSWERS | problems(*WITH_BODY),
    openapi_extra=json_request(DRAIN),
)
async def set_drain(
    rule_id: RuleId, operator: Drainer, store: StoreOf, wanted: PreconditionOf, fields: ObjectOf
) -> Response:
    """A drain rate of its own: `{"limit", "window_seconds", "burst"}`."""
    return rule_response(await change(store, rule_id, lambda old: old | {"drain": fields}, operator.name, wanted))


@router.delete("", response_model=Rule, responses=ANSWERS)
async def delete_drain(rule_id: RuleId, operator: Drainer, store: StoreOf, wanted: PreconditionOf) -> Response:
    """Drain from the rule's own budget again."""
    return rule_response(await change(store, rule_id, lambda old: old | {"drain": None}, operator.name, wanted))


@router.post("/pause", response_model=Rule, responses=ANSWERS)
async def pause_drain(rule_id: RuleId, operator: Drainer, store: StoreOf, wanted: PreconditionOf) -> Response:
    """The flows accept and do not drain."""
    return rule_response(await change(store, rule_id, lambda old: old | {"paused": True}, operator.name, wanted))


@router.post("/resume", response_model=Rule, responses=ANSWERS)
async def resume_drain(rule_id: RuleId, operator: Drainer, store: StoreOf, wanted: PreconditionOf) -> Response:
    """The flows drain again."""
    return rule_response(await change(store, rule_id, lambda old: old | {"paused": False}, operator.name, wanted))


@router.post("/purge", responses=problems(*ALWAYS))
async def purge_drain(rule_id: RuleId, _: Drainer, operations: OperationsOf) -> Purged:
    """Cancel all jobs of the rule that wait to be sent, whether or not the rule is still there."""
    return Purged(canceled=await operations.purge(rule_id))
