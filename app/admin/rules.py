"""`/v1/rules`: the rules, with `ETag` and `If-Match`."""

from collections.abc import Callable
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Path, Query, Request, Response

from app.admin.auth import Admin, Viewer
from app.admin.bodies import JSON, MERGE_PATCH, json_of
from app.admin.preconditions import Precondition, PreconditionOf, PreconditionOfPut
from app.admin.schemas import (
    ALWAYS,
    ETAG,
    EXAMPLES,
    LOCATION,
    PATCHES,
    RULE_FIELDS,
    RULE_PATCH,
    WITH_BODY,
    History,
    RuleList,
    answers_rule,
    of_address,
)
from app.errors import Conflict, InvalidInput, InvalidRule, PreconditionFailed
from app.rules.model import Rule, RuleId, parse_rule, to_json
from app.rules.store import KEPT_BY_STORE, RuleStore
from app.web.openapi import json_request, problems

router = APIRouter(prefix="/rules", tags=["rules"])

TRIES = 20

Fields = dict[str, Any]


def store_of(request: Request) -> RuleStore:
    """What `build_admin` was given."""
    store: RuleStore = request.app.state.store
    return store


async def object_of(request: Request) -> Fields:
    """The fields of a JSON object."""
    fields = await json_of(request)
    if not isinstance(fields, dict):
        raise InvalidInput("The body must be a JSON object.")
    return fields


async def fields_of(request: Request) -> Fields:
    """Those of a rule; what the store keeps is ignored, so that what was read can be written back."""
    return _without_kept(await object_of(request))


StoreOf = Annotated[RuleStore, Depends(store_of)]
ObjectOf = Annotated[Fields, Depends(object_of)]
FieldsOf = Annotated[Fields, Depends(fields_of)]
AnyId = Annotated[str, Path(max_length=1024, description="Also one that no rule may have: a document by hand.")]


@router.get("", response_model=RuleList, responses=problems(400, 401, 403, 503))
async def list_rules(_: Viewer, store: StoreOf) -> Response:
    """All rules, and the documents that are none."""
    rules, wrong = await store.all()
    in_force = await store.last_good(wrong) if wrong else {}
    invalid = [
        {
            "rule_id": rule_id,
            "problem": problem,
            "version_in_force": in_force[rule_id].version if rule_id in in_force else None,
        }
        for rule_id, problem in wrong.items()
    ]
    return _json({"rules": [to_json(rule) for rule in rules], "invalid": invalid})


@router.post(
    "",
    status_code=201,
    response_model=Rule,
    responses=answers_rule(409, *WITH_BODY, success=201, headers=LOCATION),
    openapi_extra=json_request(RULE_FIELDS, examples=EXAMPLES),
)
async def create_rule(operator: Admin, request: Request, store: StoreOf, fields: FieldsOf) -> Response:
    """A new rule; 409 if its id is taken."""
    rule = await store.create(parse_rule(fields), operator.name)
    return rule_response(rule, 201, {"Location": f"{request.url.path}/{rule.rule_id}"})


@router.get("/{rule_id}", response_model=Rule, responses=answers_rule(404, 409))
async def get_rule(rule_id: RuleId, _: Viewer, store: StoreOf) -> Response:
    """One rule; 409 where its document is none."""
    return rule_response(await _readable(store, rule_id))


@router.get("/{rule_id}/history", response_model=History, responses=problems(*ALWAYS))
async def get_history(
    rule_id: RuleId, _: Viewer, store: StoreOf, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> Response:
    """Its versions as they came into force, newest first; no `rule`: it was deleted."""
    versions = await store.history(rule_id, limit)
    listed = [{"at": at.isoformat(), "rule": to_json(rule) if rule else None} for at, rule in versions]
    return _json({"versions": listed})


@router.put(
    "/{rule_id}",
    response_model=Rule,
    responses=answers_rule(412, *WITH_BODY) | {201: {"model": Rule, "headers": ETAG, "description": "It is new."}},
    openapi_extra=json_request(
        f"{RULE_FIELDS}OfAddress", examples={name: of_address(rule) for name, rule in EXAMPLES.items()}
    ),
)
async def put_rule(
    rule_id: RuleId, operator: Admin, store: StoreOf, wanted: PreconditionOfPut, fields: FieldsOf
) -> Response:
    """Write a rule whole, new or not."""
    rule = parse_rule({**fields, "rule_id": _same_id(fields, rule_id)})
    version = await store.version(rule_id) if wanted.given else None
    if version is not None:
        wanted.check(rule_id, version)
    written = await store.put(rule, operator.name, version)
    return rule_response(written, 201 if written.version == 1 else 200)


@router.patch(
    "/{rule_id}",
    response_model=Rule,
    responses=answers_rule(404, 409, 412, *WITH_BODY),
    openapi_extra=json_request(RULE_PATCH, MERGE_PATCH, JSON, examples=PATCHES),
)
async def patch_rule(
    rule_id: RuleId, operator: Admin, store: StoreOf, wanted: PreconditionOf, fields: FieldsOf
) -> Response:
    """Change some fields (JSON merge patch, RFC 7396); what comes of it is checked as a whole."""
    patch = {**fields, "rule_id": _same_id(fields, rule_id)}
    return rule_response(await change(store, rule_id, lambda old: merge_patch(old, patch), operator.name, wanted))


@router.delete("/{rule_id}", status_code=204, responses=problems(*ALWAYS, 404, 412))
async def delete_rule(rule_id: AnyId, _: Admin, store: StoreOf, wanted: PreconditionOf) -> Response:
    """Delete a rule; what becomes of its flows, its `queue.on_delete` says."""
    version = await store.version(rule_id) if wanted.given else None
    if version is not None:
        wanted.check(rule_id, version)
    await store.delete(rule_id, version)
    return Response(status_code=204)


async def change(
    store: RuleStore, rule_id: str, edit: Callable[[Fields], Fields], by: str, wanted: Precondition
) -> Rule:
    """Write what `edit` makes of the rule's fields, over the version that it was made of and no other.

    Raises NotFound, InvalidRule, PreconditionFailed, and Conflict where others write all the time.
    """
    for _ in range(TRIES):
        old = await _readable(store, rule_id)
        wanted.check(rule_id, old.version)
        new = parse_rule(edit(_without_kept(to_json(old))))
        try:
            return await store.put(new, by, old.version)
        except PreconditionFailed:
            if wanted.given:
                raise
    raise Conflict(f"The rule {rule_id!r} changes faster than it can be changed.")


def rule_response(rule: Rule, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A rule with its ETag."""
    return _json(to_json(rule), status, {"ETag": f'"{rule.version}"', **(headers or {})})


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


def _json(content: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(content), status, headers, media_type="application/json")


def _without_kept(fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if name not in KEPT_BY_STORE}


def _same_id(fields: Fields, rule_id: str) -> str:
    if fields.get("rule_id", rule_id) != rule_id:
        raise InvalidRule("rule_id: must be the one of the address")
    return rule_id


async def _readable(store: RuleStore, rule_id: str) -> Rule:
    """What is wrong with a document in MongoDB is not wrong with the request."""
    try:
        return await store.get(rule_id)
    except InvalidRule as error:
        raise Conflict(f"The document of {rule_id!r} is no rule, write it anew: {error}") from error
