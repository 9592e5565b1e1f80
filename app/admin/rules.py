"""`/v1/rules`: reads and writes rules, with `ETag` and `If-Match`."""

from collections.abc import Callable
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Path, Query, Request, Response

from app.admin.auth import AsAdmin, AsViewer
from app.admin.bodies import JSON, MERGE_PATCH, read_json
from app.admin.dependencies import AdminPartsOf
from app.admin.preconditions import Precondition, PreconditionOf, PreconditionOfPut
from app.admin.schemas import (
    BODY_PROBLEMS,
    COMMON_PROBLEMS,
    ETAG,
    LOCATION,
    PATCH_EXAMPLES,
    RULE_EXAMPLES,
    RULE_FIELDS,
    RULE_PATCH,
    RuleHistory,
    RuleList,
    rule_responses,
    without_id,
)
from app.errors import Conflict, InvalidInput, InvalidRule, PreconditionFailed
from app.rules.model import Rule, RuleId, editable_fields, parse_rule, to_json
from app.rules.store import RuleStore
from app.web.openapi import json_request, problems

router = APIRouter(prefix="/rules", tags=["rules"])

MAX_UPDATE_ATTEMPTS = 20
"""How often a change is tried again because somebody else wrote the same rule meanwhile."""

Fields = dict[str, Any]


async def read_object(request: Request) -> Fields:
    """Return the body as a JSON object. Raises InvalidInput, UnsupportedMediaType, BodyTooLarge."""
    fields = await read_json(request)
    if not isinstance(fields, dict):
        raise InvalidInput("The body must be a JSON object.")
    return fields


async def read_rule_fields(request: Request) -> Fields:
    """Return the fields of a rule. Fields that the store maintains are ignored, so that a client can write back what it
    read.
    """
    return editable_fields(await read_object(request))


ObjectBody = Annotated[Fields, Depends(read_object)]
RuleBody = Annotated[Fields, Depends(read_rule_fields)]
AnyId = Annotated[
    str,
    Path(max_length=1024, description="The id of a rule, or of a document that was written by hand and is not a rule."),
]


@router.get("", response_model=RuleList, responses=problems(400, 401, 403, 503))
async def list_rules(_: AsViewer, parts: AdminPartsOf) -> Response:
    """List all rules, and the documents that are not valid rules."""
    rules, problem_by_id = await parts.store.all()
    in_force = await parts.store.last_good(problem_by_id) if problem_by_id else {}
    invalid = [
        {
            "rule_id": rule_id,
            "problem": problem,
            "version_in_force": in_force[rule_id].version if rule_id in in_force else None,
        }
        for rule_id, problem in problem_by_id.items()
    ]
    return _json({"rules": [to_json(rule) for rule in rules], "invalid": invalid})


@router.post(
    "",
    status_code=201,
    response_model=Rule,
    responses=rule_responses(409, *BODY_PROBLEMS, success=201, headers=LOCATION),
    openapi_extra=json_request(RULE_FIELDS, examples=RULE_EXAMPLES),
)
async def create_rule(operator: AsAdmin, request: Request, parts: AdminPartsOf, fields: RuleBody) -> Response:
    """Create a rule. The answer is 409 if its id is taken."""
    rule = await parts.store.create(parse_rule(fields), operator.name)
    return rule_response(rule, 201, {"Location": f"{request.url.path}/{rule.rule_id}"})


@router.get("/{rule_id}", response_model=Rule, responses=rule_responses(404, 409))
async def get_rule(rule_id: RuleId, _: AsViewer, parts: AdminPartsOf) -> Response:
    """Read a rule. The answer is 409 if its document in MongoDB is not a valid rule."""
    return rule_response(await _read_rule(parts.store, rule_id))


@router.get("/{rule_id}/history", response_model=RuleHistory, responses=problems(*COMMON_PROBLEMS))
async def get_history(
    rule_id: RuleId, _: AsViewer, parts: AdminPartsOf, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> Response:
    """List the versions of a rule as they came into force, newest first. `rule` is null if it was deleted."""
    versions = await parts.store.history(rule_id, limit)
    listed = [{"at": at.isoformat(), "rule": to_json(rule) if rule else None} for at, rule in versions]
    return _json({"versions": listed})


@router.put(
    "/{rule_id}",
    response_model=Rule,
    responses=rule_responses(412, *BODY_PROBLEMS) | {201: {"model": Rule, "headers": ETAG, "description": "Created."}},
    openapi_extra=json_request(
        f"{RULE_FIELDS}WithoutId", examples={name: without_id(rule) for name, rule in RULE_EXAMPLES.items()}
    ),
)
async def put_rule(
    rule_id: RuleId, operator: AsAdmin, parts: AdminPartsOf, precondition: PreconditionOfPut, fields: RuleBody
) -> Response:
    """Create a rule, or replace all of its fields."""
    rule = parse_rule({**fields, "rule_id": _same_id(fields, rule_id)})
    version = await _checked_version(parts.store, rule_id, precondition)
    written = await parts.store.put(rule, operator.name, version)
    return rule_response(written, 201 if written.version == 1 else 200)


@router.patch(
    "/{rule_id}",
    response_model=Rule,
    responses=rule_responses(404, 409, 412, *BODY_PROBLEMS),
    openapi_extra=json_request(RULE_PATCH, MERGE_PATCH, JSON, examples=PATCH_EXAMPLES),
)
async def patch_rule(
    rule_id: RuleId, operator: AsAdmin, parts: AdminPartsOf, precondition: PreconditionOf, fields: RuleBody
) -> Response:
    """Change some fields of a rule (JSON merge patch, RFC 7396). The result must be a valid rule."""
    patch = {**fields, "rule_id": _same_id(fields, rule_id)}
    rule = await update_rule(
        parts.store, rule_id, lambda old: merge_patch(old, patch), updated_by=operator.name, precondition=precondition
    )
    return rule_response(rule)


@router.delete("/{rule_id}", status_code=204, responses=problems(*COMMON_PROBLEMS, 404, 412))
async def delete_rule(rule_id: AnyId, _: AsAdmin, parts: AdminPartsOf, precondition: PreconditionOf) -> Response:
    """Delete a rule. Its `queue.on_delete` decides what happens to jobs that wait."""
    version = await _checked_version(parts.store, rule_id, precondition)
    await parts.store.delete(rule_id, version)
    return Response(status_code=204)


async def update_rule(
    store: RuleStore, rule_id: str, edit: Callable[[Fields], Fields], *, updated_by: str, precondition: Precondition
) -> Rule:
    """Replace a rule with what `edit` makes of its fields, and only the version that `edit` was given.

    Raises NotFound, InvalidRule, PreconditionFailed, and Conflict if others keep writing the same rule.
    """
    for _ in range(MAX_UPDATE_ATTEMPTS):
        old = await _read_rule(store, rule_id)
        precondition.check(rule_id, old.version)
        new = parse_rule(edit(editable_fields(to_json(old))))
        try:
            return await store.put(new, updated_by, old.version)
        except PreconditionFailed:
            if precondition.given:
                raise
    raise Conflict(f"The rule {rule_id!r} was changed by others {MAX_UPDATE_ATTEMPTS} times meanwhile.")


def rule_response(rule: Rule, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a response with the rule as its body and the rule's version as its ETag."""
    return _json(to_json(rule), status, {"ETag": f'"{rule.version}"', **(headers or {})})


def merge_patch(target: Any, patch: Any) -> Any:  # noqa: ANN401 - JSON
    """Apply a JSON merge patch as RFC 7396, section 2, defines it. Raises InvalidInput for one that is too deep."""
    try:
        return _merged(target, patch)
    except RecursionError as error:
        raise InvalidInput("The patch is nested too deeply.") from error


def _merged(target: Any, patch: Any) -> Any:  # noqa: ANN401 - JSON
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name), value)
    return merged


def _json(content: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(content), status, headers, media_type="application/json")


async def _checked_version(store: RuleStore, rule_id: str, precondition: Precondition) -> int | None:
    """Return the version that a write must replace; None if the client set no precondition."""
    if not precondition.given:
        return None
    version = await store.version(rule_id)
    precondition.check(rule_id, version)
    return version


def _same_id(fields: Fields, rule_id: str) -> str:
    if fields.get("rule_id", rule_id) != rule_id:
        raise InvalidRule("rule_id: must be the id in the path")
    return rule_id


async def _read_rule(store: RuleStore, rule_id: str) -> Rule:
    """Read a rule. Raises NotFound, and Conflict for an invalid document, which is not the fault of the request."""
    try:
        return await store.get(rule_id)
    except InvalidRule as error:
        raise Conflict(f"The document of {rule_id!r} is not a valid rule, replace it: {error}") from error
