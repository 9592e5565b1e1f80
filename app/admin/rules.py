"""`/v1/rules`: the rules, with `ETag` and `If-Match`."""

import re
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Header, Query, Request, Response

from app.admin.auth import Admin, Viewer
from app.errors import InvalidInput, InvalidRule, PreconditionFailed
from app.rules.model import Rule, parse_rule, to_json
from app.rules.store import KEPT_BY_STORE, RuleStore

router = APIRouter(prefix="/rules", tags=["rules"])

_ETAG = re.compile(r'"(\d+)"')


def store_of(request: Request) -> RuleStore:
    """What `build_admin` was given."""
    store: RuleStore = request.app.state.store
    return store


async def body_of(request: Request) -> dict[str, Any]:
    """The fields of a JSON object; what the store keeps is ignored, so that what was read can be written back."""
    try:
        fields = orjson.loads(await request.body())
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"The body is no JSON: {error}") from error
    if not isinstance(fields, dict):
        raise InvalidInput("The body must be a JSON object.")
    return {name: value for name, value in fields.items() if name not in KEPT_BY_STORE}


StoreOf = Annotated[RuleStore, Depends(store_of)]
BodyOf = Annotated[dict[str, Any], Depends(body_of)]
IfMatch = Annotated[str | None, Header(alias="If-Match")]


@router.get("")
async def list_rules(store: StoreOf, _: Viewer) -> dict[str, Any]:
    """All rules, and the documents that are none."""
    rules, problems = await store.all()
    in_force = await store.last_good(problems) if problems else {}
    invalid = [
        {
            "rule_id": rule_id,
            "problem": problem,
            "version_in_force": in_force[rule_id].version if rule_id in in_force else None,
        }
        for rule_id, problem in problems.items()
    ]
    return {"rules": [to_json(rule) for rule in rules], "invalid": invalid}


@router.post("", status_code=201)
async def create_rule(store: StoreOf, body: BodyOf, operator: Admin) -> Response:
    """A new rule; 409 if its id is taken."""
    rule = await store.create(parse_rule(body), operator.name)
    return rule_response(rule, 201)


@router.get("/{rule_id}")
async def get_rule(rule_id: str, store: StoreOf, _: Viewer) -> Response:
    """One rule."""
    return rule_response(await store.get(rule_id))


@router.get("/{rule_id}/history")
async def get_history(
    rule_id: str, store: StoreOf, _: Viewer, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> dict[str, Any]:
    """Its versions as they came into force, newest first; no `rule`: it was deleted."""
    versions = await store.history(rule_id, limit)
    return {"versions": [{"at": at.isoformat(), "rule": to_json(rule) if rule else None} for at, rule in versions]}


@router.put("/{rule_id}")
async def put_rule(rule_id: str, store: StoreOf, body: BodyOf, operator: Admin, if_match: IfMatch = None) -> Response:
    """Write a rule whole, new or not."""
    if body.get("rule_id", rule_id) != rule_id:
        raise InvalidRule("rule_id: must be the one of the address")
    rule = parse_rule({**body, "rule_id": rule_id})
    return rule_response(await store.put(rule, operator.name, version_of(if_match)))


@router.patch("/{rule_id}")
async def patch_rule(rule_id: str, store: StoreOf, body: BodyOf, operator: Admin, if_match: IfMatch = None) -> Response:
    """Change some fields (JSON merge patch, RFC 7396)."""
    old = await store.get(rule_id)
    merged = merge_patch(to_json(old), body) | {"rule_id": rule_id}
    rule = parse_rule({name: value for name, value in merged.items() if name not in KEPT_BY_STORE})
    return rule_response(await store.put(rule, operator.name, version_of(if_match) or old.version))


@router.delete("/{rule_id}", status_code=204)
async def delete_rule(rule_id: str, store: StoreOf, _: Admin, if_match: IfMatch = None) -> Response:
    """Delete a rule; what becomes of its flows, its `queue.on_delete` says."""
    await store.delete(rule_id, version_of(if_match))
    return Response(status_code=204)


def rule_response(rule: Rule, status: int = 200) -> Response:
    """A rule with its ETag."""
    return Response(orjson.dumps(to_json(rule)), status, {"ETag": f'"{rule.version}"'}, media_type="application/json")


def version_of(if_match: str | None) -> int | None:
    """The version that `If-Match` names; None without it."""
    if if_match is None or if_match.strip() == "*":
        return None
    match = _ETAG.fullmatch(if_match.strip())
    if match is None:
        raise PreconditionFailed('If-Match must be an ETag of a rule, as in "3".')
    return int(match[1])


def merge_patch(target: Any, patch: Any) -> Any:  # noqa: ANN401 - JSON
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged
