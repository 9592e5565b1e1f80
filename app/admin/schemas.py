"""Rules in the OpenAPI document: as they are answered, as they may be sent, and as merge patches of them."""

from copy import deepcopy
from typing import Any

from pydantic import BaseModel, Field

from app.rules.model import Drain, Rule
from app.rules.store import KEPT_BY_STORE
from app.web.openapi import Responses, problems, schemas_of

RULE_FIELDS = "RuleFields"
RULE_PATCH = "RulePatch"
DRAIN = "Drain"

ETAG: dict[str, Any] = {
    "ETag": {"description": "The rule's version.", "schema": {"type": "string", "pattern": '^"[1-9][0-9]*"$'}}
}
LOCATION: dict[str, Any] = {
    "Location": {"description": "Where the rule is.", "schema": {"type": "string", "pattern": "^/v1/rules/"}}
}
EXAMPLES: dict[str, dict[str, Any]] = {
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
PATCHES: dict[str, dict[str, Any]] = {"slower": {"limit": 50, "burst": None, "queue": {"max_depth": 100}}}

ALWAYS = (400, 401, 403, 422, 503)
"""What any route with parameters of its own may answer."""

WITH_BODY = (413, 415)


def of_address(rule: dict[str, Any]) -> dict[str, Any]:
    """As it may be put, where the address says which."""
    return {name: value for name, value in rule.items() if name != "rule_id"}


def answers_rule(*statuses: int, success: int = 200, headers: dict[str, Any] | None = None) -> Responses:
    """For `responses=` of a route that answers with a rule."""
    return {success: {"headers": ETAG | (headers or {})}, **problems(*ALWAYS, *statuses)}


class InvalidDocument(BaseModel):
    """A document in MongoDB that is no rule."""

    rule_id: str
    problem: str
    version_in_force: int | None = Field(description="The last good version; null: none is in force.")


class RuleList(BaseModel):
    """All rules, and the documents that are none."""

    rules: list[Rule]
    invalid: list[InvalidDocument]


class Version(BaseModel):
    """A rule as it came into force; no `rule`: it was deleted then."""

    at: str = Field(json_schema_extra={"format": "date-time"})
    rule: Rule | None


class History(BaseModel):
    """A rule's versions, newest first."""

    versions: list[Version]


def rule_schemas() -> dict[str, dict[str, Any]]:
    """By name."""
    found = schemas_of(Rule, Drain)
    fields = deepcopy(found["Rule"])
    for name in KEPT_BY_STORE:
        fields["properties"][name] = {"description": "Kept by the admin API: what is sent is ignored."}
    without_id = deepcopy(fields)
    without_id["required"].remove("rule_id")
    without_id["properties"]["rule_id"]["description"] = "Where it is given, the one of the address."
    parts = {f"{name}Patch": _patch(schema) for name, schema in found.items() if name != "Rule"}
    return found | parts | {RULE_FIELDS: fields, f"{RULE_FIELDS}OfAddress": without_id, RULE_PATCH: _patch(without_id)}


def _patch(schema: dict[str, Any]) -> dict[str, Any]:
    """Nothing is required, and null takes away what is there (RFC 7396)."""
    properties = {name: _nullable(value) for name, value in schema["properties"].items()}
    return {"type": "object", "description": _patch.__doc__, "properties": properties, "additionalProperties": False}


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    choices = [choice for choice in schema.get("anyOf", [schema]) if choice != {"type": "null"}]
    return {"anyOf": [*map(_as_patch, choices), {"type": "null"}]}


def _as_patch(choice: dict[str, Any]) -> dict[str, Any]:
    return {"$ref": f"{choice['$ref']}Patch"} if "$ref" in choice else choice
