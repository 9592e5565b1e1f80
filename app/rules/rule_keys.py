"""Whom a rule counts: the rule model's fields `key_type`, `key_value` and `secret`, and what they may be together."""

import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, Discriminator, Field, StringConstraints, Tag

from app.identity.caller import TIME_CLAIMS
from app.rules.key_types import BY_FAMILY, DEFAULT, KEY_TYPES, PART_PATTERN, PATTERN, headers_of, normal_part
from app.rules.keys import WILDCARD
from app.rules.secret_values import is_hashed
from app.web.excerpt import one_line
from app.web.validation import UNION_TAG

CREDENTIAL_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization"})
"""Headers that nobody counts by without `secret`, because their values would be in every store."""

MAX_PARTS = 4
"""Parts of a composite key. With rules for one value and for any value of each part, a caller has 2^4 keys."""

MAX_SHOWN = 100


def _valid_key_type(value: str) -> str:
    return _valid(value, PATTERN, f" or '{DEFAULT}'")


def _valid_part(value: str) -> str:
    return _valid(value, PART_PATTERN, "")


def _valid(value: str, pattern: str, or_default: str) -> str:
    if value.startswith("header:") and value != (dashed := value.lower().replace("_", "-")):
        raise ValueError(f"write it as '{one_line(dashed, MAX_SHOWN)}'")
    if not re.fullmatch(pattern, value):
        known = ", ".join(f"'{key_type.example}'" for key_type in KEY_TYPES)
        raise ValueError(f"must be {known}{or_default}")
    if value.removeprefix("claim:") in TIME_CLAIMS:
        raise ValueError("each new token has other times, so nobody can be counted by them")
    return value


def _without_repeats(parts: list[str]) -> list[str]:
    for number, part in enumerate(parts):
        if part in parts[:number]:
            raise ValueError(f"'{part}' occurs twice")
    return parts


def _one_or_several(value: Any) -> str:  # noqa: ANN401 - whatever a document holds
    return _SEVERAL if isinstance(value, list) else _ONE


_ONE, _SEVERAL = f"{UNION_TAG}one", f"{UNION_TAG}several"
_SEVERAL_PARTS = Field(min_length=2, max_length=MAX_PARTS)
_KeyType = Annotated[str, AfterValidator(_valid_key_type), Field(json_schema_extra={"pattern": PATTERN})]
_PartType = Annotated[str, AfterValidator(_valid_part), Field(json_schema_extra={"pattern": PART_PATTERN})]
_PartTypes = Annotated[list[_PartType], _SEVERAL_PARTS, AfterValidator(_without_repeats)]
_KeyValue = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
_KeyValues = Annotated[list[_KeyValue], _SEVERAL_PARTS]
_BY_SHAPE = Discriminator(_one_or_several)

KeyType = Annotated[Annotated[_KeyType, Tag(_ONE)] | Annotated[_PartTypes, Tag(_SEVERAL)], _BY_SHAPE]
KeyValue = Annotated[Annotated[_KeyValue, Tag(_ONE)] | Annotated[_KeyValues, Tag(_SEVERAL)], _BY_SHAPE]

Text = str | list[str]


def parts_of(key_type: Text) -> Sequence[str]:
    """The parts of a composite key type; a plain one is its only part."""
    return (key_type,) if isinstance(key_type, str) else key_type


def normal_key_value(key_type: Text, key_value: Text | None) -> Text | None:
    """A rule's `key_value` in the form in which callers are counted. Raises ValueError."""
    if key_value is None or key_type == DEFAULT:
        return key_value
    if isinstance(key_type, str) and isinstance(key_value, str):
        family = key_type.partition(":")[0]
        return key_value if key_value == WILDCARD else BY_FAMILY[family].normal_form(key_value)
    if isinstance(key_type, str) or isinstance(key_value, str) or len(key_type) != len(key_value):
        raise ValueError("must be one value for each part of key_type")
    pairs = zip(key_type, key_value, strict=True)
    return [value if value == WILDCARD else normal_part(part, value) for part, value in pairs]


def require_key(key_type: Text, key_value: Text | None, *, anonymous: bool | None) -> None:
    """Check that a rule has a value to count by, and that its callers can have one. Raises ValueError."""
    if (key_type == DEFAULT) != (key_value is None):
        raise ValueError("key_value: required, except for key_type 'default', which has none")
    for part in parts_of(key_type):
        if anonymous and part.partition(":")[0] in {"user", "claim"}:
            raise ValueError(f"match.anonymous: callers without a token have no {part}")


def require_secrets_hashed(key_type: Text, key_value: Text | None, *, secret: bool, plain_allowed: bool) -> None:
    """Check that a rule names no secret, and says that what must be secret is. Raises ValueError."""
    names = headers_of(key_type)
    if not secret:
        if exposed := CREDENTIAL_HEADERS.intersection(names):
            raise ValueError(f"secret: must be true for credentials such as {min(exposed)}")
        if any(map(is_hashed, _header_values(key_type, key_value))):
            raise ValueError("secret: must be true, because key_value is the hash of a secret")
        return
    if not names:
        raise ValueError("secret: only with key_type 'header:<name>'")
    if not plain_allowed and not all(map(is_hashed, _header_values(key_type, key_value))):
        raise ValueError("key_value: a secret is stored as 'hmac-sha256:' and 64 hexadecimal digits")


def _header_values(key_type: Text, key_value: Text | None) -> Iterator[str]:
    """The values by which a rule counts headers, without those that are any value."""
    values = (key_value,) if isinstance(key_value, str) else key_value or ()
    for part, value in zip(parts_of(key_type), values, strict=False):
        if headers_of(part) and value != WILDCARD:
            yield value
