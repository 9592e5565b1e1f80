"""`/v1/rules/{id}/drain`: how fast a rule's flows drain, changed while they do."""

from typing import Any

from fastapi import APIRouter, Response

from app.admin.auth import Drainer
from app.admin.dead_letters import OperationsOf
from app.admin.rules import BodyOf, StoreOf, rule_response
from app.rules.model import Rule, RuleId, parse_rule, to_json
from app.rules.store import KEPT_BY_STORE, RuleStore

router = APIRouter(prefix="/rules/{rule_id}/drain", tags=["drains"])


@router.put("")
async def set_drain(rule_id: str, store: StoreOf, body: BodyOf, operator: Drainer) -> Response:
    """A drain rate of its own: `{"limit", "window_seconds", "burst"}`."""
    return rule_response(await _change(store, rule_id, {"drain": body}, operator.name))


@router.delete("")
async def delete_drain(rule_id: str, store: StoreOf, operator: Drainer) -> Response:
    """Drain from the rule's own budget again."""
    return rule_response(await _change(store, rule_id, {"drain": None}, operator.name))


@router.post("/pause")
async def pause_drain(rule_id: str, store: StoreOf, operator: Drainer) -> Response:
    """The flows accept and do not drain."""
    return rule_response(await _change(store, rule_id, {"paused": True}, operator.name))


@router.post("/resume")
async def resume_drain(rule_id: str, store: StoreOf, operator: Drainer) -> Response:
    """The flows drain again."""
    return rule_response(await _change(store, rule_id, {"paused": False}, operator.name))


@router.post("/purge")
async def purge_drain(rule_id: RuleId, operations: OperationsOf, _: Drainer) -> dict[str, Any]:
    """Cancel all jobs of the rule that wait to be sent, whether or not the rule is still there."""
    return {"canceled": await operations.purge(rule_id)}


async def _change(store: RuleStore, rule_id: str, fields: dict[str, Any], by: str) -> Rule:
    old = await store.get(rule_id)
    merged = {name: value for name, value in (to_json(old) | fields).items() if name not in KEPT_BY_STORE}
    return await store.put(parse_rule(merged), by, old.version)
