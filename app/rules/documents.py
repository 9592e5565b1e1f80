"""Reads the documents of the collection of rules one by one: no document keeps another from being read.

Anybody who can write to MongoDB can store what the driver cannot decode. So documents are fetched as bytes, and
whatever is wrong with one is a problem of that document only.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument

from app.errors import InvalidInput, InvalidRule
from app.rules.digest import etag_of
from app.rules.field_types import RULE_ID_PATTERN
from app.rules.model import Rule, parse_rule
from app.web.excerpt import one_line

MAX_DOCUMENT_BYTES = 256 << 10
"""More than any valid rule takes. A larger document is not even fetched."""

MAX_NAME_CHARACTERS = 128

_STRICT = CodecOptions[dict[str, Any]](tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME_AUTO)
_LENIENT = _STRICT.with_options(unicode_decode_error_handler="backslashreplace")
RAW: CodecOptions[RawBSONDocument] = CodecOptions(
    document_class=RawBSONDocument,
    tz_aware=True,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
    unicode_decode_error_handler="backslashreplace",
)
"""How the collection of rules is read: with `PROJECTION` only the names of the parts are decoded."""


def _unless_too_large(document: str) -> dict[str, Any]:
    size = {"$ifNull": [{"$bsonSize": document}, 0]}
    return {"$cond": [{"$lte": [size, MAX_DOCUMENT_BYTES]}, document, "$$REMOVE"]}


PROJECTION: dict[str, Any] = {
    "_id": 0,
    "documentKey": {"_id": "$_id"},
    "size": {"$bsonSize": "$$ROOT"},
    "fullDocument": _unless_too_large("$$ROOT"),
}
"""What a query returns of each document, in the form of the events of a change stream."""

EVENT_PIPELINE: list[dict[str, Any]] = [
    {
        "$project": {
            "operationType": 1,
            "clusterTime": 1,
            "documentKey": 1,
            "size": {"$bsonSize": {"$ifNull": ["$fullDocument", None]}},
            "fullDocument": _unless_too_large("$fullDocument"),
        }
    }
]
"""What a change stream returns of each event: never a document, nor a description of a change, of any size."""

_TYPE_NAMES = {"NoneType": "null", "bool": "boolean", "dict": "object"}


@dataclass(frozen=True, slots=True)
class DocumentKey:
    """The `_id` of a document, which need not be text. `raw` is the document `{_id: …}` as bytes."""

    raw: bytes

    @classmethod
    def of(cls, rule_id: str) -> "DocumentKey":
        """The key of a rule."""
        return cls(bson.encode({"_id": rule_id}))

    @classmethod
    def of_text(cls, text: str) -> "DocumentKey":
        """Read what `text` wrote. Raises InvalidInput."""
        try:
            raw = urlsafe_b64decode(text.encode("ascii"))
            if set(bson.decode(raw, _LENIENT)) != {"_id"}:
                raise ValueError(text)
        except Exception as error:  # whatever bytes may do to the decoder
            raise InvalidInput(f"{one_line(text)!r} is not the key of a document.") from error
        return cls(raw)

    @property
    def text(self) -> str:
        """An opaque text by which a client can name the document, whatever its `_id` is."""
        return urlsafe_b64encode(self.raw).decode()

    @property
    def query(self) -> RawBSONDocument:
        """A query that finds the document."""
        return RawBSONDocument(self.raw, RAW)

    @property
    def value(self) -> Any:  # noqa: ANN401 - any value of BSON
        """The decoded `_id`. Text that is not UTF-8 has `\\x` in the place of its faults."""
        try:
            return bson.decode(self.raw, _LENIENT)["_id"]
        except Exception:
            return self.raw

    @property
    def rule_id(self) -> str | None:
        """The `_id` if a rule may have it, else None. Documents with any other `_id` are invalid and no rule's."""
        value = self.value
        is_text = type(value) is str  # JavaScript, for one, is read as a subclass of it
        return value if is_text and re.fullmatch(RULE_ID_PATTERN, value) else None

    @property
    def name(self) -> str:
        """How messages name the document: by its `_id`, with its type if that is not text."""
        value, type_name = self.value, type(self.value).__name__
        text = one_line(value, MAX_NAME_CHARACTERS)
        return text if type_name == "str" else f"{_TYPE_NAMES.get(type_name, type_name)} {text}"


@dataclass(frozen=True, slots=True)
class RuleDocument:
    """A document of the collection of rules. `rule` is None if it is not a valid rule; `problem` then says why."""

    key: DocumentKey
    content: bytes | None
    """The document, or None if it is larger than any rule."""
    rule: Rule | None
    problem: str = ""

    def checked(self, problem_of: Callable[[Rule], str | None]) -> "RuleDocument":
        """The document, invalid if there is a problem with its rule."""
        problem = None if self.rule is None else problem_of(self.rule)
        return self if problem is None else replace(self, rule=None, problem=problem)

    @property
    def etag(self) -> str:
        """The entity tag. That of an invalid document covers its bytes; nobody but the store knows it."""
        return etag_of(self.rule) if self.rule else f'"0-{sha256(self.content or b"").hexdigest()[:16]}"'

    @property
    def version(self) -> int:
        """The version of a valid rule, else 0."""
        return self.rule.version if self.rule else 0

    @property
    def unchanged(self) -> dict[str, Any]:
        """A query that finds the document only if it is still what was read."""
        if self.content is None:
            same: dict[str, Any] = {"$gt": [{"$bsonSize": "$$ROOT"}, MAX_DOCUMENT_BYTES]}
        else:
            same = {"$eq": ["$$ROOT", {"$literal": RawBSONDocument(self.content)}]}
        return {"_id": self.key.value, "$expr": same}


def read_document(found: RawBSONDocument) -> RuleDocument | None:
    """Read what `PROJECTION` or `EVENT_PIPELINE` returned. None if an event has no document, because it was deleted."""
    key, document = DocumentKey(found["documentKey"].raw), found.get("fullDocument")
    if document is not None:
        return _read(key, document.raw)
    if found.get("size") is None:
        return None
    return RuleDocument(
        key, None, None, f"the document has {found['size']} bytes, at most {MAX_DOCUMENT_BYTES} are allowed"
    )


def _read(key: DocumentKey, content: bytes) -> RuleDocument:
    if key.rule_id is None:
        return RuleDocument(key, content, None, f"_id: must be text that matches {RULE_ID_PATTERN}, and is {key.name}")
    try:
        return RuleDocument(key, content, _parse(content))
    except InvalidRule as error:
        return RuleDocument(key, content, None, one_line(error))


def _parse(content: bytes) -> Rule:
    try:
        return parse_rule(bson.decode(content, _STRICT))
    except InvalidRule:
        raise
    except Exception as error:  # the decoder raises errors of many types, and a document must not stop any other
        raise InvalidRule(f"the document can't be read: {error}") from error
