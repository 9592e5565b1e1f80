"""`/v1/rules`: reads and writes rules, with `ETag` and `If-Match`."""

from collections.abc import Callable
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Path, Query, Request, Response

from app.admin.rest.auth import AsAdmin, AsViewer
from app.admin.rest.bodies import JSON, MERGE_PATCH, read_json
from app.admin.rest.bulk import BULK_RULES, BulkReport, outcome_fields, parse_bulk
from app.admin.rest.dependencies import AdminPartsOf
from app.admin.rest.preconditions import Precondition, PreconditionOf, PreconditionOfPut
from app.admin.rest.schemas import (
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
from app.audit.entry import Actor
from app.errors import Conflict, InvalidInput, InvalidRule, NotFound
from app.rules.bounds import MAX_VERSION
from app.rules.digest import etag_of
from app.rules.field_types import RuleId
from app.rules.model import Rule, editable_fields, to_json
from app.rules.store import MAX_ATTEMPTS, RuleStore, StoredRule, changed_too_often
from app.web.openapi import json_request, problems

router = APIRouter(prefix="/rules", tags=["rules"])

MAX_PAGE_SIZE = 1000

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


@router.get("", response_model=RuleList, responses=problems(*COMMON_PROBLEMS))
async def list_rules(
    _: AsViewer,
    parts: AdminPartsOf,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE_SIZE)] = MAX_PAGE_SIZE,
    after: Annotated[str, Query(max_length=1024)] = "",
) -> Response:
    """List rules in the order of their ids, and the documents among them that are not valid rules.

    `next` is the `after` of the next page, and null on the last page, which also has the documents whose ids are no
    strings.
    """
    rules, documents, following = await parts.store.page(after, limit)
    in_force = await parts.store.last_good(rule_id for one in documents if (rule_id := one.key.rule_id))
    invalid = [
        {
            "rule_id": document.key.name,
            "document_key": document.key.text,
            "problem": document.problem,
            "version_in_force": in_force[document.key.name].version if document.key.name in in_force else None,
        }
        for document in documents
    ]
    return _json({"rules": [to_json(rule) for rule in rules], "invalid": invalid, "next": following})


@router.put(
    "",
    response_model=BulkReport,
    responses=problems(*COMMON_PROBLEMS, *BODY_PROBLEMS),
    openapi_extra=json_request(BULK_RULES),
)
async def put_rules(operator: AsAdmin, parts: AdminPartsOf, body: ObjectBody, dry_run: bool = False) -> Response:
    """Write many rules and delete documents, in one transaction: all is done, or nothing is.

    The answer says what was done with each. With `dry_run` it says what would be done, and nothing is written.
    """
    rules, deleted = parse_bulk(body, parts.key_headers)
    outcomes = await parts.bulk_writer.apply(rules, deleted, operator.actor, dry_run=dry_run)
    return _json({"outcomes": [outcome_fields(outcome) for outcome in outcomes]})


@router.post(
    "",
    status_code=201,
    response_model=Rule,
    responses=rule_responses(409, *BODY_PROBLEMS, success=201, headers=LOCATION),
    openapi_extra=json_request(RULE_FIELDS, examples=RULE_EXAMPLES),
)
async def create_rule(operator: AsAdmin, request: Request, parts: AdminPartsOf, fields: RuleBody) -> Response:
    """Create a rule. The answer is 409 if its id is taken."""
    rule = await parts.store.create(parts.key_headers.admit(fields), operator.actor)
    return rule_response(rule, 201, {"Location": f"{request.url.path}/{rule.rule_id}"})


@router.get("/{rule_id}", response_model=Rule, responses=rule_responses(404, 409))
async def get_rule(rule_id: RuleId, _: AsViewer, parts: AdminPartsOf) -> Response:
    """Read a rule. The answer is 409 if its document in MongoDB is not a valid rule."""
    return rule_response(_rule_of(await parts.store.find(rule_id)))


@router.get("/{rule_id}/history", response_model=RuleHistory, responses=problems(*COMMON_PROBLEMS))
async def get_history(
    rule_id: RuleId, _: AsViewer, parts: AdminPartsOf, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> Response:
    """List the versions of a rule as they came into force, newest first. `rule` is null if it was deleted."""
    versions = await parts.store.history(rule_id, limit)
    listed = [{"at": at.isoformat(), "rule": to_json(rule) if rule else None} for at, rule in versions]
    return _json({"versions": listed})


@router.get("/{rule_id}/history/{version}", response_model=Rule, responses=rule_responses(404, 409))
async def get_version(
    rule_id: RuleId, version: Annotated[int, Path(ge=1, le=MAX_VERSION)], _: AsViewer, parts: AdminPartsOf
) -> Response:
    """Read one version of a rule from the history. The answer is 409 if it would no longer be a valid rule."""
    try:
        return rule_response(await parts.store.version(rule_id, version))
    except InvalidRule as error:
        raise Conflict(f"Version {version} of {rule_id!r} is no longer a valid rule: {error}") from error


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
    rule = parts.key_headers.admit({**fields, "rule_id": _same_id(fields, rule_id)})
    for _ in range(MAX_ATTEMPTS):
        stored = await parts.store.find(rule_id)
        precondition.check(rule_id, stored.etag)
        written = await parts.store.replace(stored, rule, operator.actor)
        if written is not None:
            return rule_response(written, 200 if stored.document else 201)
    raise changed_too_often(rule_id)


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
        parts.store,
        rule_id,
        lambda old: parts.key_headers.admit(merge_patch(old, patch)),
        updated_by=operator.actor,
        precondition=precondition,
    )
    return rule_response(rule)


@router.delete("/{rule_id}", status_code=204, responses=problems(*COMMON_PROBLEMS, 404, 412))
async def delete_rule(rule_id: AnyId, operator: AsAdmin, parts: AdminPartsOf, precondition: PreconditionOf) -> Response:
    """Delete a rule. Its `queue.on_delete` decides what happens to jobs that wait."""
    for _attempt in range(MAX_ATTEMPTS):
        stored = await parts.store.find(rule_id)
        precondition.check(rule_id, stored.etag)
        if await parts.store.remove(stored, operator.actor):
            return Response(status_code=204)
    raise changed_too_often(rule_id)


async def update_rule(
    store: RuleStore, rule_id: str, edit: Callable[[Fields], Rule], *, updated_by: Actor, precondition: Precondition
) -> Rule:
    """Replace a rule with what `edit` makes of its fields, and only the content that `edit` was given.

    Raises NotFound, InvalidRule, PreconditionFailed, and Conflict if others keep writing the same rule.
    """
    for _ in range(MAX_ATTEMPTS):
        stored = await store.find(rule_id)
        old = _rule_of(stored)
        precondition.check(rule_id, stored.etag)
        written = await store.replace(stored, edit(editable_fields(to_json(old))), updated_by)
        if written is not None:
            return written
    raise changed_too_often(rule_id)


def rule_response(rule: Rule, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a response with the rule as its body and its ETag."""
    return _json(to_json(rule), status, {"ETag": etag_of(rule), **(headers or {})})


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


def _same_id(fields: Fields, rule_id: str) -> str:
    if fields.get("rule_id", rule_id) != rule_id:
        raise InvalidRule("rule_id: must be the id in the path")
    return rule_id


def _rule_of(stored: StoredRule) -> Rule:
    """Return the stored rule. Raises NotFound, and Conflict for an invalid document: the request is not at fault."""
    if stored.document is None:
        raise NotFound(f"There is no rule {stored.rule_id!r}.")
    if stored.document.rule is None:
        raise Conflict(f"The document of {stored.rule_id!r} is not a valid rule, replace it: {stored.document.problem}")
    return stored.document.rule
