"""The orders in which rules are listed: the stretches that MongoDB reads from an index, and places in them.

Any client may write to MongoDB, so a field may have any value. What is no number or time counts as 0, as a missing
field does: that is the default of a priority.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, Protocol

from bson import DatetimeMS, Decimal128
from bson.int64 import Int64

from app.errors import InvalidInput

MAX_CURSOR_LENGTH = 256
"""Ids are cut at this length in cursors. An id that no rule can have may be longer, and a cursor is a parameter."""

SORTED_BY = ("priority", "updated_at")
"""The fields that rules can be sorted by, besides the id."""

Direction = Literal[1, -1]
Value = int | float | Decimal128
Query = Mapping[str, Any]

_NUMBERS, _TIMES = ("int", "long", "double", "decimal"), ("date",)
_NO_NUMBERS = ("string", "object", "binData", "objectId", "bool", "regex", "dbPointer", "javascript", "symbol",
               "javascriptWithScope", "timestamp", "minKey", "maxKey")  # fmt: skip
_IDS_FIRST: Sequence[tuple[str, Direction]] = [("_id", 1)]
_TEXT: Query = {"$type": "string"}
_NO_LIST: Query = {"$not": {"$type": "array"}}
_INTEGER = re.compile("-?[0-9]{1,19}")
_FLOAT = re.compile("-?(?:inf|[0-9.]{1,24}(?:e[+-]?[0-9]{1,3})?)")
_DECIMAL = re.compile("m([0-9A-Za-z.+-]{1,48})")


class Place(NamedTuple):
    """Where a document stands: by the value that it is sorted by, then by its id."""

    value: Value
    document_id: str


@dataclass(frozen=True, slots=True)
class Stretch:
    """Documents that follow each other in an order: what finds them, and how they are sorted. An index does both.

    `also` finds the few that belong among them, sorted by their ids, and that no index has in this order.
    """

    found_by: Query
    sort: Sequence[tuple[str, Direction]]
    also: Query | None = None

    def within(self, ids: Query) -> "Stretch":
        """Return the part whose ids are in these bounds, such as `{"$gt": "a"}`."""
        bounds = {"_id": {**self.found_by["_id"], **ids}}
        also = None if self.also is None else {**self.also, **bounds}
        return replace(self, found_by={**self.found_by, **bounds}, also=also)


class RuleOrder(Protocol):
    """An order of all documents whose ids are text."""

    @property
    def value(self) -> Query:
        """The value that a document is sorted by, as an expression of MongoDB."""

    def stretches(self, after: str) -> list[Stretch]:
        """Return what stands behind a cursor, in this order; after "" everything. Raises InvalidInput."""

    def until(self, stretch: Stretch, place: Place) -> list[Stretch]:
        """Return what stands in a stretch up to this place, the document there included."""

    def cursor(self, place: Place, before: str) -> str:
        """Return the cursor that stands for a place. `before` is that of the place before, or empty."""


@dataclass(frozen=True, slots=True)
class ById:
    """By the id alone. The cursor is an id."""

    direction: Direction

    @property
    def value(self) -> Query:
        """Implements RuleOrder."""
        return {"$literal": 0}

    def stretches(self, after: str) -> list[Stretch]:
        """Implements RuleOrder."""
        everything = Stretch({"_id": _TEXT}, [("_id", self.direction)])
        return [everything.within({_further(self.direction): after}) if after else everything]

    def until(self, stretch: Stretch, place: Place) -> list[Stretch]:
        """Implements RuleOrder."""
        return [stretch.within({"$lte" if self.direction > 0 else "$gte": place.document_id})]

    def cursor(self, place: Place, before: str) -> str:
        """Implements RuleOrder."""
        if self.direction < 0:
            return place.document_id[:MAX_CURSOR_LENGTH]
        return max(before, _cut(place.document_id))


@dataclass(frozen=True, slots=True)
class ByField:
    """By the value of a field, then by the id. The cursor is both, such as `5:rule-7`.

    An index has the documents below 0 and those above 0 in this order. Among those at 0 may be some whose value is no
    number, which no rule has; they are found apart.
    """

    field: str
    direction: Direction
    is_time: bool = False

    @property
    def value(self) -> Query:
        """Implements RuleOrder."""
        value = f"${self.field}"
        types, number = (_TIMES, {"$toLong": value}) if self.is_time else (_NUMBERS, value)
        return {"$cond": [{"$in": [{"$type": value}, types]}, number, 0]}

    def stretches(self, after: str) -> list[Stretch]:
        """Implements RuleOrder."""
        if not after:
            return [self._between(None, 0), self._at(0), self._between(0, None)]
        place = self._read(after)
        behind = self._at(place.value).within({"$gt": place.document_id})
        side = self.direction * _sign(place.value)
        if side < 0:
            return [behind, self._between(place.value, 0), self._at(0), self._between(0, None)]
        return [behind, self._between(place.value, None)]

    def until(self, stretch: Stretch, place: Place) -> list[Stretch]:
        """Implements RuleOrder."""
        until = {"$lte": place.document_id}
        if stretch.sort == _IDS_FIRST:
            return [stretch.within(until)]
        values = {**stretch.found_by[self.field], _further(-self.direction): self._stored(place.value)}
        before = replace(stretch, found_by={**stretch.found_by, self.field: values})
        return [before, self._at(place.value).within(until)]

    def cursor(self, place: Place, before: str) -> str:
        """Implements RuleOrder."""
        return f"{_written(place.value)}:{_cut(place.document_id)}"

    def _between(self, behind: Value | None, before: Value | None) -> Stretch:
        """What stands behind one value and before the other, in this order."""
        values = {} if behind is None else {_further(self.direction): self._stored(behind)}
        values |= {} if before is None else {_further(-self.direction): self._stored(before)}
        return Stretch({self.field: {**values, **_NO_LIST}, "_id": _TEXT}, [(self.field, self.direction), ("_id", 1)])

    def _at(self, value: Value) -> Stretch:
        """What has this value."""
        if _sign(value) != 0:
            return Stretch({self.field: {"$eq": self._stored(value), **_NO_LIST}, "_id": _TEXT}, _IDS_FIRST)
        types = [*_NO_NUMBERS, *(("number",) if self.is_time else _TIMES)]
        strange = [{self.field: {"$type": types}}, {f"{self.field}.0": {"$exists": True}}, {self.field: []}]
        found_by = {self.field: {"$in": [None, self._stored(0), math.nan], **_NO_LIST}, "_id": _TEXT}
        return Stretch(found_by, _IDS_FIRST, {"$or": strange, "_id": _TEXT})

    def _stored(self, value: Value) -> Any:  # noqa: ANN401 - any number or time of BSON
        return DatetimeMS(int(value)) if self.is_time and isinstance(value, int) else value

    def _read(self, cursor: str) -> Place:
        value, _, document_id = cursor.partition(":")
        number = _number(value)
        if number is None or (self.is_time and not isinstance(number, int)) or ":" not in cursor:
            raise InvalidInput("after: must be the `next` of a page in the same order.")
        return Place(number, document_id)


def order_of(name: str) -> RuleOrder:
    """Return the order of this name: `id` or a field of SORTED_BY, with `-` the greatest first."""
    field = name.lstrip("-")
    direction: Direction = -1 if name.startswith("-") else 1
    return ById(direction) if field == "id" else ByField(field, direction, is_time=field == "updated_at")


def _further(direction: int) -> str:
    return "$gt" if direction > 0 else "$lt"


def _sign(value: Value) -> int:
    number = value.to_decimal() if isinstance(value, Decimal128) else value
    return (number > 0) - (number < 0)


def is_nan(value: Value) -> bool:
    """Whether it is no number after all."""
    return value.to_decimal().is_nan() if isinstance(value, Decimal128) else math.isnan(value)


def _written(value: Value) -> str:
    return (
        f"m{value}" if isinstance(value, Decimal128) else repr(value) if isinstance(value, float) else str(int(value))
    )


def _number(text: str) -> Value | None:
    """Read what `_written` has written; None if that is no number of BSON."""
    try:
        if _INTEGER.fullmatch(text):
            return Int64(text) if -(2**63) <= int(text) < 2**63 else None
        decimal = _DECIMAL.fullmatch(text)
        value: Value = Decimal128(decimal[1]) if decimal else float(text if _FLOAT.fullmatch(text) else "nan")
    except (ValueError, ArithmeticError):
        return None
    return None if is_nan(value) else value


def _cut(document_id: str) -> str:
    """What stands in a cursor for an id: one that is too long is passed over, with all that begin as it does."""
    return document_id if len(document_id) <= MAX_CURSOR_LENGTH else document_id[: MAX_CURSOR_LENGTH - 1] + "\U0010ffff"
