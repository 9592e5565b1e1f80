"""Messages and JSON: the fields of a message are those of the REST API, by the same names.

So one function reads every request, for the models by which REST validates, and one writes every answer. What has
another form in a message stands in `_READERS` and `_WRITERS`.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import MessageToDict, ParseDict, SerializeToJsonError
from google.protobuf.message import Message

from app.errors import InvalidInput
from app.web.excerpt import one_line

M = TypeVar("M", bound=Message)

Fields = dict[str, Any]

PACKAGE = "penstock.admin.v1"
JSON_PACKAGE = "google.protobuf"
"""Messages of this package stand for JSON values."""


def to_fields(message: Message) -> Fields:
    """Return the fields of a message that are set, as JSON. Integers stay integers.

    Raises InvalidInput for what JSON cannot hold: a number that is not finite, a time that is out of range.
    """
    fields = {field.name: _to_json(field, value) for field, value in message.ListFields()}
    reader = _READERS.get(message.DESCRIPTOR.full_name)
    return fields if reader is None else reader(fields)


def to_message(fields: Mapping[str, Any], of: type[M]) -> M:
    """Return a message with these fields. Those that are null are not set."""
    message = of()
    ParseDict(_for_message(fields, cast(Descriptor, message.DESCRIPTOR)), message)
    return message


def _to_json(field: FieldDescriptor, value: Any) -> Any:  # noqa: ANN401 - JSON
    of_value = _value_of_map(field.message_type)
    if of_value is not None:
        return {key: _single(of_value, one) for key, one in value.items()}
    return [_single(field, one) for one in value] if field.is_repeated else _single(field, value)


def _single(field: FieldDescriptor, value: Any) -> Any:  # noqa: ANN401 - JSON
    if field.message_type is None:
        return value
    if not _is_json(field.message_type):
        return to_fields(value)
    try:
        return _with_integers(MessageToDict(value))
    except (ValueError, SerializeToJsonError) as error:
        raise InvalidInput(f"{field.name}: {one_line(error)}") from error


def _with_integers(value: Any) -> Any:  # noqa: ANN401 - JSON
    """A number of a message that stands for JSON is always a double, also where the JSON said 5."""
    if isinstance(value, Mapping):
        return {key: _with_integers(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_with_integers(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _for_message(value: Any, of: Descriptor | None) -> Any:  # noqa: ANN401 - JSON
    """Return JSON as protobuf's parser takes it."""
    if of is None or _is_json(of) or not isinstance(value, Mapping):
        return value
    of_value = _value_of_map(of)
    if of_value is not None:
        return {key: _for_message(one, of_value.message_type) for key, one in value.items()}
    writer = _WRITERS.get(of.full_name)
    fields = value if writer is None else writer(dict(value))
    return {
        name: [_for_message(item, _type_of(of, name)) for item in one]
        if isinstance(one, list | tuple)
        else _for_message(one, _type_of(of, name))
        for name, one in fields.items()
        if one is not None
    }


def _type_of(message: Descriptor, name: str) -> Descriptor | None:
    field = message.fields_by_name.get(name)
    return None if field is None else field.message_type


def _value_of_map(message: Descriptor | None) -> FieldDescriptor | None:
    is_map = message is not None and message.GetOptions().map_entry
    return message.fields_by_name["value"] if is_map and message is not None else None


def _is_json(message: Descriptor) -> bool:
    return message.file.package == JSON_PACKAGE


def _read_rule(fields: Fields) -> Fields:
    for name in ("key_type", "key_value"):
        if len(fields.get(name, ())) == 1:
            fields[name] = fields[name][0]
    for name in ("fixed_cost", "variable_cost"):
        if name in fields:
            fields["cost"] = fields.pop(name)
    return fields


def _write_rule(fields: Fields) -> Fields:
    for name in ("key_type", "key_value"):
        if isinstance(fields.get(name), str):
            fields[name] = [fields[name]]
    cost = fields.pop("cost", None)
    fields["variable_cost" if isinstance(cost, Mapping) else "fixed_cost"] = cost
    return fields


def _read_match(fields: Fields) -> Fields:
    if "claims" in fields:
        fields["claims"] = {name: values.get("values", []) for name, values in fields["claims"].items()}
    return fields


def _write_match(fields: Fields) -> Fields:
    claims = fields.get("claims")
    if claims is not None:
        fields["claims"] = {
            name: {"values": values if isinstance(values, list) else [values]} for name, values in claims.items()
        }
    return fields


def _write_contents(fields: Fields) -> Fields:
    headers = fields.get("headers") or ()
    return fields | {"headers": [{"name": name, "value": value} for name, value in headers]}


_READERS: Mapping[str, Callable[[Fields], Fields]] = {
    f"{PACKAGE}.Rule": _read_rule,
    f"{PACKAGE}.MatchConditions": _read_match,
}
_WRITERS: Mapping[str, Callable[[Fields], Fields]] = {
    f"{PACKAGE}.Rule": _write_rule,
    f"{PACKAGE}.MatchConditions": _write_match,
    f"{PACKAGE}.StoredRequestDocument": _write_contents,
    f"{PACKAGE}.StoredResponseDocument": _write_contents,
}
