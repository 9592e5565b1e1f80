"""`/v1/rules`: reads and writes rules, with `ETag` and `If-Match`."""

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Path, Query, Request, Response

from app.admin.rest.auth import AsAdmin, AsViewer
from app.admin.rest.bodies import JSON, MERGE_PATCH, body_as, read_json
from app.admin.rest.bulk import BULK_RULES, BulkReport, outcome_fields
from app.admin.rest.dependencies import AdminPartsOf
from app.admin.rest.preconditions import PreconditionOf, PreconditionOfPut
from app.admin.rest.schemas import (
    BODY_PROBLEMS,
    COMMON_PROBLEMS,
    ETAG,
    LOCATION,
    PATCH_EXAMPLES,
    RULE_EXAMPLES,
    RULE_FIELDS,
    RULE_PATCH,
    Restored,
    RuleHistory,
    RuleList,
    ShownRule,
    in_force_fields,
    rule_responses,
    without_id,
)
from app.admin.services.rules_model import DocumentId, RuleSearch
from app.errors import InvalidInput
from app.rules.bounds import MAX_VERSION
from app.rules.digest import etag_of
from app.rules.field_types import RuleId
from app.rules.model import Rule, to_json
from app.rules.temporary import MAX_FOR_S
from app.web.openapi import json_request, problems

router = APIRouter(prefix="/rules", tags=["rules"])

CREATED: dict[int | str, dict[str, Any]] = {201: {"model": Rule, "headers": ETAG, "description": "Created."}}

Fields = dict[str, Any]


async def read_object(request: Request) -> Fields:
    """Return the body as a JSON object. Raises InvalidInput, UnsupportedMediaType, BodyTooLarge."""
    fields = await read_json(request)
    if not isinstance(fields, dict):
        raise InvalidInput("The body must be a JSON object.")
    return fields


ObjectBody = Annotated[Fields, Depends(read_object)]
ForSeconds = Annotated[
    int | None,
    Query(ge=1, le=MAX_FOR_S, description="How long the change lasts; then the rule has its previous values again."),
]


@router.get("", response_model=RuleList, responses=problems(*COMMON_PROBLEMS))
async def list_rules(operator: AsViewer, parts: AdminPartsOf, search: Annotated[RuleSearch, Query()]) -> Response:
    """List rules, and the documents among them that are not valid rules.

    `next` is the `after` of the next page, and null on the last page. A page of a search may be short, and even empty,
    although others follow. The last page of all rules also has the documents whose ids are no strings.
    """
    page = await parts.rules.page(operator, search.as_query())
    invalid = [
        {
            "rule_id": one.name,
            "document_key": one.document_key,
            "problem": one.problem,
            "version_in_force": one.version_in_force,
        }
        for one in page.invalid
    ]
    return _json({"rules": [_shown(rule) for rule in page.rules], "invalid": invalid, "next": page.next})


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
    outcomes = await parts.rules.apply(operator, body, dry_run=dry_run)
    return _json({"outcomes": [outcome_fields(outcome) for outcome in outcomes]})


@router.post(
    "",
    status_code=201,
    response_model=Rule,
    responses=rule_responses(409, *BODY_PROBLEMS, success=201, headers=LOCATION),
    openapi_extra=json_request(RULE_FIELDS, examples=RULE_EXAMPLES),
)
async def create_rule(operator: AsAdmin, parts: AdminPartsOf, fields: ObjectBody) -> Response:
    """Create a rule. The answer is 409 if its id is taken."""
    rule = await parts.rules.create(operator, fields)
    return rule_response(rule, 201, {"Location": f"{parts.base_path}/v1/rules/{rule.rule_id}"})


@router.get("/{rule_id}", response_model=ShownRule, responses=rule_responses(404, 409))
async def get_rule(rule_id: RuleId, operator: AsViewer, parts: AdminPartsOf) -> Response:
    """Read a rule. The answer is 409 if its document in MongoDB is not a valid rule.

    `in_force` says what a rule with a schedule or a temporary value has now, and until when.
    """
    rule = await parts.rules.get(operator, rule_id)
    return _json(_shown(rule), 200, {"ETag": etag_of(rule)})


@router.get("/{rule_id}/history", response_model=RuleHistory, responses=problems(*COMMON_PROBLEMS))
async def get_history(
    rule_id: RuleId, operator: AsViewer, parts: AdminPartsOf, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> Response:
    """List the versions of a rule as they came into force, newest first. `rule` is null if it was deleted."""
    versions = await parts.rules.history(operator, rule_id, limit)
    listed = [{"at": at.isoformat(), "rule": to_json(rule) if rule else None} for at, rule in versions]
    return _json({"versions": listed})


@router.get("/{rule_id}/history/{version}", response_model=Rule, responses=rule_responses(404, 409))
async def get_version(
    rule_id: RuleId, version: Annotated[int, Path(ge=1, le=MAX_VERSION)], operator: AsViewer, parts: AdminPartsOf
) -> Response:
    """Read one version of a rule from the history. The answer is 409 if it would no longer be a valid rule."""
    return rule_response(await parts.rules.version(operator, rule_id, version))


@router.post(
    "/{rule_id}/restore",
    response_model=Rule,
    responses=rule_responses(404, 409, 412, *BODY_PROBLEMS) | CREATED,
    openapi_extra=json_request(Restored.__name__),
)
async def restore_rule(
    rule_id: RuleId,
    operator: AsAdmin,
    parts: AdminPartsOf,
    precondition: PreconditionOf,
    restored: Annotated[Restored, Depends(body_as(Restored))],
) -> Response:
    """Write a rule as it was in a version of its history, as a new version; also if it was deleted (201).

    The answer is 409 if the version would no longer be a valid rule.
    """
    rule, is_new = await parts.rules.restore(operator, rule_id, restored.version, precondition)
    return rule_response(rule, 201 if is_new else 200)


@router.put(
    "/{rule_id}",
    response_model=Rule,
    responses=rule_responses(412, *BODY_PROBLEMS) | CREATED,
    openapi_extra=json_request(
        f"{RULE_FIELDS}WithoutId", examples={name: without_id(rule) for name, rule in RULE_EXAMPLES.items()}
    ),
)
async def put_rule(
    rule_id: RuleId, operator: AsAdmin, parts: AdminPartsOf, precondition: PreconditionOfPut, fields: ObjectBody
) -> Response:
    """Create a rule, or replace all of its fields."""
    rule, is_new = await parts.rules.put(operator, rule_id, fields, precondition)
    return rule_response(rule, 201 if is_new else 200)


@router.patch(
    "/{rule_id}",
    response_model=Rule,
    responses=rule_responses(404, 409, 412, *BODY_PROBLEMS),
    openapi_extra=json_request(RULE_PATCH, MERGE_PATCH, JSON, examples=PATCH_EXAMPLES),
)
async def patch_rule(
    rule_id: RuleId,
    operator: AsAdmin,
    parts: AdminPartsOf,
    precondition: PreconditionOf,
    fields: ObjectBody,
    for_seconds: ForSeconds = None,
) -> Response:
    """Change some fields of a rule (JSON merge patch, RFC 7396). The result must be a valid rule.

    With `for_seconds` only the drain rate, the pause and the limits can change.
    """
    return rule_response(await parts.rules.patch(operator, rule_id, fields, precondition, for_seconds))


@router.delete("/{rule_id}", status_code=204, responses=problems(*COMMON_PROBLEMS, 404, 412))
async def delete_rule(
    rule_id: DocumentId, operator: AsAdmin, parts: AdminPartsOf, precondition: PreconditionOf
) -> Response:
    """Delete a rule. Its `queue.on_delete` decides what happens to jobs that wait."""
    await parts.rules.delete(operator, rule_id, precondition)
    return Response(status_code=204)


def rule_response(rule: Rule, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a response with the rule as its body and its ETag."""
    return _json(to_json(rule), status, {"ETag": etag_of(rule), **(headers or {})})


def _shown(rule: Rule) -> Fields:
    """A rule, and what is in force of it if that is not always the same."""
    return to_json(rule) | ({"in_force": in_force_fields(rule)} if rule.schedule or rule.temporary else {})


def _json(content: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(content), status, headers, media_type="application/json")
