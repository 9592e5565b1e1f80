"""The `$jsonSchema` by which MongoDB validates rules, derived from the rule model."""

from datetime import UTC, datetime
from typing import Any

from app.rules.model import Rule

_BSON_TYPES: dict[str, list[str]] = {
    "integer": ["int", "long", "double"],  # some shells write every number as a double
    "number": ["int", "long", "double"],
    "string": ["string"],
    "boolean": ["bool"],
    "array": ["array"],
    "object": ["object"],
    "null": ["null"],
}
_READABLE_DATE = {
    "$nor": [
        {"updated_at": {"$gt": datetime(9999, 12, 31, tzinfo=UTC)}},
        {"updated_at": {"$lt": datetime(1, 1, 2, tzinfo=UTC)}},
    ]
}
"""Dates that Python can hold. `$jsonSchema` has no bounds for dates."""

_KEPT = ("enum", "pattern", "minLength", "maxLength", "minItems", "maxItems", "minimum", "maximum")


def mongodb_schema() -> dict[str, Any]:
    """Build the validator for `collMod`. It cannot express checks across fields, which sync makes by the model."""
    schema = Rule.model_json_schema()
    converted = _convert(schema, schema.get("$defs", {}))
    converted["properties"]["_id"] = converted["properties"].pop("rule_id")
    converted["required"] = ["_id" if name == "rule_id" else name for name in converted["required"]]
    return {"$jsonSchema": converted, **_READABLE_DATE}


def _convert(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        return _convert(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in schema:
        return {"anyOf": [_convert(choice, definitions) for choice in schema["anyOf"]]}
    if schema.get("format") == "date-time":
        return {"bsonType": ["date"]}
    converted: dict[str, Any] = {"bsonType": _BSON_TYPES[schema["type"]]}
    converted |= {name: schema[name] for name in _KEPT if name in schema}
    converted |= _exclusive(schema)
    if schema["type"] == "integer":
        converted["multipleOf"] = 1
    if "items" in schema:
        converted["items"] = _convert(schema["items"], definitions)
    if "properties" in schema:
        converted["properties"] = {name: _convert(of, definitions) for name, of in schema["properties"].items()}
        converted["additionalProperties"] = False
        if "required" in schema:
            converted["required"] = list(schema["required"])
    return converted


def _exclusive(schema: dict[str, Any]) -> dict[str, Any]:
    """Exclusive bounds as MongoDB reads them (JSON Schema draft 4): a flag beside the bound."""
    found: dict[str, Any] = {}
    for bound, flag in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if flag in schema:
            found |= {bound: schema[flag], flag: True}
    return found
