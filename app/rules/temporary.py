"""Temporary changes of a rule: what it had before, and from when on it has that again. All functions are pure.

A change of the same fields ends a temporary one; a change of other fields leaves it.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, Field

from app.rules.field_types import StrictModel

GROUPS: tuple[frozenset[str], ...] = (
    frozenset({"drain"}),
    frozenset({"paused"}),
    frozenset({"limit", "window_seconds", "burst"}),
    frozenset({"limits"}),
    frozenset({"concurrency"}),
)
"""The fields that may change for a while; those of a group change and return together."""

TEMPORARY_FIELDS = frozenset(name for group in GROUPS for name in group)
MAX_FOR_S = 30 * 86_400
"""How long a temporary change may last."""


def _one_group(previous: dict[str, Any]) -> dict[str, Any]:
    if frozenset(previous) not in GROUPS:
        raise ValueError("must be the fields of one quota")
    try:
        json.dumps(previous, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:  # a document may hold any value of BSON
        raise ValueError("must be values that JSON can express") from error
    return previous


class TemporaryChange(StrictModel):
    """Fields that have other values for a while."""

    until: Annotated[AwareDatetime, Field(strict=False)]
    """From when on the rule has its previous values again."""
    previous: Annotated[dict[str, Any], AfterValidator(_one_group)]
    """These values, by field; null is the default."""

    @property
    def fields(self) -> frozenset[str]:
        """The fields that have other values."""
        return frozenset(self.previous)


Temporary = tuple[TemporaryChange, ...]
Values = Mapping[str, Any]
"""The values of the fields of a rule by name."""


def kept(temporary: Temporary, old: Values, new: Values, named: Collection[str] = ()) -> Temporary:
    """Return which temporary changes go on once a rule is changed. `named` are the fields that the change names."""
    return tuple(
        change
        for change in temporary
        if not change.fields & set(named) and all(old[name] == new[name] for name in change.fields)
    )


def begun(temporary: Temporary, old: Values, new: Values, named: Collection[str], until: datetime) -> Temporary:
    """Return the temporary changes of a rule once what differs in `new` lasts until a moment only.

    A rule that has a temporary value already has its permanent one again afterwards.
    """
    going_on = kept(temporary, old, new, named)
    new_ones = [
        TemporaryChange(until=until, previous=previous)
        for group in GROUPS
        if (group & set(named) or any(old[name] != new[name] for name in group))
        and (previous := _permanent(temporary, old, group)) != {name: new[name] for name in group}
    ]
    return (*going_on, *new_ones)


def due(temporary: Iterable[TemporaryChange], at: datetime) -> Iterator[TemporaryChange]:
    """Return the temporary changes that are over."""
    return (change for change in temporary if change.until <= at)


def _permanent(temporary: Temporary, old: Values, group: frozenset[str]) -> dict[str, Any]:
    for change in temporary:
        if change.fields == group:
            return change.previous
    return {name: old[name] for name in group}
