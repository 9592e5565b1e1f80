"""Rules in the OpenAPI document: as they are answered, as they may be sent, and as merge patches."""

from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from app.rules.bounds import MAX_VERSION
from app.rules.in_force import Source, describe
from app.rules.limits import Drain
from app.rules.model import READ_ONLY_FIELDS, Rule
from app.web.openapi import Responses, problems, schemas_of

RULE_FIELDS = "RuleFields"
RULE_PATCH = "RulePatch"
DRAIN = "Drain"

ETAG: dict[str, Any] = {
    "ETag": {
        "description": "Covers the rule's version and its content.",
        "schema": {"type": "string", "pattern": '^"[1-9][0-9]*-[0-9a-f]{16}"$'},
    }
}
LOCATION: dict[str, Any] = {
    "Location": {"description": "Where the rule is.", "schema": {"type": "string", "pattern": "^(/[^?#]+)?/v1/rules/"}}
}
RULE_EXAMPLES: dict[str, dict[str, Any]] = {
    "deferring": {
        "rule_id": "per-user",
        "key_type": "user",
        "key_value": "*",
        "limit": 100,
        "window_seconds": 60,
        "on_limit": "defer",
        "drain": {"limit": 10, "window_seconds": 1},
    },
    "network": {
        "rule_id": "office",
        "key_type": "ip",
        "key_value": "10.0.0.0/8",
        "limit": 1000,
        "window_seconds": 1,
        "match": {"methods": ["GET"], "path_prefix": "/api"},
    },
    "default": {"rule_id": "others", "key_type": "default", "limit": 5, "window_seconds": 1},
}
PATCH_EXAMPLES: dict[str, dict[str, Any]] = {"slower": {"limit": 50, "burst": None, "queue": {"max_depth": 100}}}

COMMON_PROBLEMS = (400, 401, 403, 422, 503)
"""The problems that any route with parameters may answer with."""

BODY_PROBLEMS = (413, 415)
"""The problems that a route with a body may answer with besides."""


def without_id(rule: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a rule as a client may put them when the path names the rule."""
    return {name: value for name, value in rule.items() if name != "rule_id"}


def rule_responses(*statuses: int, success: int = 200, headers: dict[str, Any] | None = None) -> Responses:
    """Return the `responses=` of a route that answers with a rule, or with a problem of one of these statuses."""
    return {success: {"headers": ETAG | (headers or {})}, **problems(*COMMON_PROBLEMS, *statuses)}


class InvalidDocument(BaseModel):
    """A document in MongoDB that is not a valid rule."""

    rule_id: str = Field(description="Its `_id`. One that no rule can have is named by its type and value.")
    document_key: str = Field(description="Names the document in `PUT /v1/rules`, whatever its `_id` is.")
    problem: str
    version_in_force: int | None = Field(description="The last valid version, which stays in force, or null.")


class RuleVersion(BaseModel):
    """A rule as it came into force at a time. `rule` is null if it was deleted then."""

    at: str = Field(json_schema_extra={"format": "date-time"})
    rule: Rule | None


class RuleHistory(BaseModel):
    """A rule's versions, newest first."""

    versions: list[RuleVersion]


class RuleInForce(BaseModel):
    """What is in force of a rule now. `source` says why, and `until` when it changes by itself; null: it does not."""

    source: Source
    until: datetime | None
    window: int | None = Field(description="The number of the window of `schedule` that is in force, from 0.")
    limit: int | None
    window_seconds: float | None
    burst: int | None
    drain: Drain | None
    paused: bool


class ShownRule(Rule):
    """A rule, and what is in force of it now if it has a schedule or a temporary value."""

    in_force: RuleInForce | None = None


class RuleList(BaseModel):
    """A page of rules, and of the documents that are not valid rules. `next` is null on the last page."""

    rules: list[ShownRule]
    invalid: list[InvalidDocument]
    next: str | None


def in_force_fields(rule: Rule) -> dict[str, Any]:
    """Return what is in force of a rule now, as the answer shows it."""
    found = describe(rule, datetime.now(UTC))
    shown = RuleInForce(
        source=found.source, until=found.until, window=found.window,
        **found.rule.model_dump(include={"limit", "window_seconds", "burst", "drain", "paused"}),
    )  # fmt: skip
    return shown.model_dump(mode="json")


class Restored(BaseModel):
    """Which version of a rule to restore."""

    model_config = ConfigDict(extra="forbid")

    version: int = Field(ge=1, le=MAX_VERSION)


def rule_schemas() -> dict[str, dict[str, Any]]:
    """Return the schemas of rules, of rules as they may be sent, and of merge patches, by name."""
    found = schemas_of(Rule, Drain)
    fields = deepcopy(found["Rule"])
    for name in READ_ONLY_FIELDS:
        fields["properties"][name] = {"description": "Maintained by the admin API. A value that is sent is ignored."}
    anonymous = deepcopy(fields)
    anonymous["required"].remove("rule_id")
    anonymous["properties"]["rule_id"]["description"] = "If it is given, it must be the id in the path."
    parts = {f"{name}Patch": _patch(schema) for name, schema in found.items() if name != "Rule"}
    return found | parts | {RULE_FIELDS: fields, f"{RULE_FIELDS}WithoutId": anonymous, RULE_PATCH: _patch(anonymous)}


def _patch(schema: dict[str, Any]) -> dict[str, Any]:
    """A JSON merge patch (RFC 7396). No member is required, and null removes a member."""
    properties = {name: _nullable(value) for name, value in schema["properties"].items()}
    return {"type": "object", "description": _patch.__doc__, "properties": properties, "additionalProperties": False}


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    choices = [choice for choice in schema.get("anyOf", [schema]) if choice != {"type": "null"}]
    return {"anyOf": [*map(_as_patch, choices), {"type": "null"}]}


def _as_patch(choice: dict[str, Any]) -> dict[str, Any]:
    return {"$ref": f"{choice['$ref']}Patch"} if "$ref" in choice else choice
