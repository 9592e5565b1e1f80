"""The validator of rules in MongoDB: a schema derived from the rule model, and the model's checks of numbers."""

from datetime import UTC, datetime
from typing import Any

from app.limiter.algorithms import ALGORITHMS
from app.rules.bounds import if_numbers, mongodb_quota_checks
from app.rules.model import DEFAULTS, WITHOUT_QUOTA, Rule
from app.rules.rule_keys import MAX_PARTS
from app.rules.secret_values import HASHED_PATTERN

_BSON_TYPES: dict[str, list[str]] = {
    "integer": ["int", "long", "double"],  # some shells write every number as a double
    "number": ["int", "long", "double"],
    "string": ["string"],
    "boolean": ["bool"],
    "array": ["array"],
    "object": ["object"],
    "null": ["null"],
}
_UNREADABLE_DATES: list[dict[str, Any]] = [
    {name: bound}
    for name in ("updated_at", "temporary.until")
    for bound in ({"$gt": datetime(9999, 12, 31, tzinfo=UTC)}, {"$lt": datetime(1, 1, 2, tzinfo=UTC)})
]
"""Dates that Python cannot hold. `$jsonSchema` has no bounds for dates."""

_HEADROOM_MS = {"$ifNull": ["$headroom_ms", DEFAULTS["headroom_ms"]]}
HEADROOM_S = {"$cond": [{"$isNumber": _HEADROOM_MS}, {"$divide": [_HEADROOM_MS, 1000]}, None]}
"""The headroom in seconds, as an expression of MongoDB."""

_KEPT = ("enum", "pattern", "minLength", "maxLength", "minItems", "maxItems", "minimum", "maximum",
         "minProperties", "maxProperties")  # fmt: skip


def mongodb_schema() -> dict[str, Any]:
    """Build the validator for `collMod`. What it cannot express, such as what an address is, sync checks."""
    schema = Rule.model_json_schema()
    converted = _convert(schema, schema.get("$defs", {}))
    converted["properties"]["_id"] = converted["properties"].pop("rule_id")
    converted["required"] = ["_id" if name == "rule_id" else name for name in converted["required"]]
    never = [*_UNREADABLE_DATES, *_plain_secrets()]
    return {"$jsonSchema": converted, "$expr": {"$and": _checks_across_fields()}, "$nor": never}


def _checks_across_fields() -> list[dict[str, Any]]:
    """The bounds of quotas. A `cost` above the burst is left to sync, so that each can be changed before the other."""
    of_each = {"$map": {"input": "$limits", "as": "each", "in": {"$and": _limit_checks("$$each.")}}}
    return [
        *_checks_of_action(),
        *_limit_checks("$"),
        {"$cond": [{"$isArray": "$limits"}, {"$allElementsTrue": [of_each]}, True]},
        *mongodb_quota_checks("$drain.", {"$ifNull": ["$drain.burst", 1]}, HEADROOM_S),
    ]


def _checks_of_action() -> list[dict[str, Any]]:
    """Which fields the action of a rule needs, and which it has not."""
    action = {"$ifNull": ["$action", DEFAULTS["action"]]}
    has_none = {"$in": [action, sorted(WITHOUT_QUOTA)]}
    is_given = {name: {"$ne": [{"$ifNull": [f"${name}", None]}, None]} for name in Rule.model_fields}
    is_missing = [{"$not": [is_given[name]]} for name in ("limit", "window_seconds", "limits")]
    limits_concurrency_only = {"$and": [is_given["concurrency"], *is_missing]}
    return [
        {"$or": [has_none, {"$and": [is_given["limit"], is_given["window_seconds"]]}, limits_concurrency_only]},
        {"$not": [{"$and": [{"$eq": [action, "defer"]}, {"$eq": ["$on_limit", "reject"]}]}]},
        {"$not": [{"$and": [has_none, {"$eq": ["$on_limit", "defer"]}]}]},
        {"$not": [{"$and": [has_none, {"$or": [is_given["drain"], is_given["limits"], is_given["concurrency"]]}]}]},
    ]


def _limit_checks(prefix: str) -> list[dict[str, Any]]:
    """The bounds of one limit; `prefix` precedes the names of its fields."""
    limit, algorithm = f"{prefix}limit", f"{prefix}algorithm"
    without_burst = [name for name, of_name in ALGORITHMS.items() if not of_name.has_burst]
    given_burst = {"$ifNull": [f"{prefix}burst", limit]}
    burst = {"$cond": [{"$in": [{"$ifNull": [algorithm, ""]}, without_burst]}, limit, given_burst]}
    max_limits = [
        if_numbers([limit], {"$or": [{"$ne": [algorithm, name]}, {"$lte": [limit, of_name.max_limit]}]})
        for name, of_name in ALGORITHMS.items()
        if of_name.max_limit is not None
    ]
    return [*max_limits, *mongodb_quota_checks(prefix, burst, HEADROOM_S)]


def _plain_secrets() -> list[dict[str, Any]]:
    """Queries that find a rule with the value of a secret header in it, plain or in a composite key.

    MongoDB shall hold none, even where a client writes past the admin API. These are no expressions, because those fail
    where a value is no text.
    """
    places = ["", *(f".{number}" for number in range(MAX_PARTS))]
    hashed = {"$regex": rf"^(\*|{HASHED_PATTERN.strip('^$')})$"}
    return [
        {"secret": True, f"key_type{place}": {"$regex": "^header:"}, f"key_value{place}": {"$not": hashed}}
        for place in places
    ]


def _as_one(choices: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The choice of a text, a list or null in one schema, whose keywords are about one type each; else None.

    What is in the lists is left to sync: MongoDB 6.0 ends when it explains what is wrong with some of them.
    """
    types = [name for choice in choices for name in choice.get("bsonType", ["other"])]
    if not {"string", "array"} <= set(types) <= {"string", "array", "null"}:
        return None
    keywords = [keyword for choice in choices for keyword in choice if keyword != "bsonType"]
    if len(set(keywords)) < len(keywords):
        return None
    merged = {keyword: value for choice in choices for keyword, value in choice.items() if keyword != "items"}
    return merged | {"bsonType": types}


def _convert(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        return _convert(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    for union in ("anyOf", "oneOf"):
        if union in schema:
            choices = [_convert(choice, definitions) for choice in schema[union]]
            return _as_one(choices) or {union: choices}
    if schema.get("format") == "date-time":
        return {"bsonType": ["date"]}
    converted: dict[str, Any] = {"bsonType": _BSON_TYPES[schema["type"]]}
    converted |= {name: schema[name] for name in _KEPT if name in schema}
    if schema["type"] == "integer":
        converted["multipleOf"] = 1
    if "items" in schema:
        converted["items"] = _convert(schema["items"], definitions)
    if isinstance(schema.get("additionalProperties"), dict):
        converted["additionalProperties"] = _convert(schema["additionalProperties"], definitions)
    if "properties" in schema:
        converted["properties"] = {name: _convert(of, definitions) for name, of in schema["properties"].items()}
        converted["additionalProperties"] = False
        if "required" in schema:
            converted["required"] = list(schema["required"])
    return converted
