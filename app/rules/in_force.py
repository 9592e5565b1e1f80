"""What is in force of a rule, until when, and why; and how a rule changes for a while. All functions are pure."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from app.errors import InvalidRule
from app.rules.model import Rule, parse_rule
from app.rules.schedule import ScheduledWindow, next_change, window_at
from app.rules.temporary import TEMPORARY_FIELDS, Temporary, begun, due, kept

Source = Literal["rule", "schedule", "temporary"]
"""Where the drain rate, the limit and the pause that are in force come from."""

_Numbered = list[tuple[int, ScheduledWindow]]
_SCHEDULED_FIELDS = {"drain": ("drain",), "limit": ("limit", "window_seconds", "burst")}


@dataclass(frozen=True, slots=True)
class InForce:
    """What is in force of a rule, and until when; None: it does not change by itself. `window`: of the schedule."""

    rule: Rule
    until: datetime | None
    source: Source
    window: int | None


def in_force(rule: Rule, at: datetime) -> Rule:
    """Return the rule with the drain rate and the limit that its schedule gives it at a moment.

    A temporary value goes before the schedule.
    """
    changed = {
        name: value
        for field, windows in _scheduled(rule).items()
        if (window := _window_at(windows, at)) is not None
        for name, value in _values(window[1]).items()
        if name in _SCHEDULED_FIELDS[field]
    }
    return rule.model_copy(update=changed) if changed else rule


def describe(rule: Rule, at: datetime) -> InForce:
    """Say what is in force of a rule at a moment, until when, and why."""
    found = [window[0] for windows in _scheduled(rule).values() if (window := _window_at(windows, at)) is not None]
    changes = [next_scheduled_change(rule, at), *(change.until for change in rule.temporary or ())]
    source: Source = "temporary" if rule.temporary else "schedule" if found else "rule"
    until = min((moment for moment in changes if moment is not None), default=None)
    return InForce(in_force(rule, at), until, source, found[0] if found else None)


def next_scheduled_change(rule: Rule, at: datetime) -> datetime | None:
    """Return when the schedule next changes what is in force; None if it does not."""
    changes = [next_change([window for _, window in windows], at) for windows in _scheduled(rule).values()]
    return min((moment for moment in changes if moment is not None), default=None)


def after_change(old: Rule | None, new: Rule, named: Collection[str] = ()) -> Rule:
    """Return the rule as it is stored when it is changed for good. `named` are the fields that the change names.

    Raises InvalidRule if the rule would not be valid once its temporary values are over.
    """
    temporary = kept(_temporary(old), _fields(old), _fields(new), named) if old is not None else ()
    return _with_temporary(new, temporary)


def for_a_while(old: Rule, new: Rule, named: Collection[str], until: datetime) -> Rule:
    """Return the rule as it is stored when what is new lasts until a moment only. Raises InvalidRule."""
    before, after = _fields(old), _fields(new)
    changed = {name for name in before if before[name] != after[name]}
    permanent = sorted({*changed, *named} - TEMPORARY_FIELDS)
    if permanent:
        raise InvalidRule(f"{permanent[0]}: cannot change for a while; {', '.join(sorted(TEMPORARY_FIELDS))} can")
    return _with_temporary(new, begun(_temporary(old), before, after, named, until))


def reverted(rule: Rule, at: datetime) -> Rule:
    """Return the rule once the temporary values that are over at a moment are. Raises InvalidRule."""
    over = list(due(_temporary(rule), at))
    fields = rule.model_dump(exclude={"temporary"}, exclude_defaults=True)
    for change in over:
        fields |= change.previous
    permanent = parse_rule({name: value for name, value in fields.items() if value is not None})
    rest = [change for change in _temporary(rule) if change not in over]
    return permanent.model_copy(update={"temporary": rest or None})


def _with_temporary(rule: Rule, temporary: Temporary) -> Rule:
    changed = rule.model_copy(update={"temporary": list(temporary) or None})
    if temporary:
        try:
            reverted(changed, max(change.until for change in temporary))
        except InvalidRule as error:
            raise InvalidRule(f"{error}, once the temporary value is over") from error
    return changed


def _temporary(rule: Rule) -> Temporary:
    return tuple(rule.temporary or ())


def _fields(rule: Rule) -> dict[str, Any]:
    return rule.model_dump(exclude={"temporary", "version", "updated_at", "updated_by"})


def _scheduled(rule: Rule) -> dict[str, _Numbered]:
    """The windows of the drain rate and of the limit, with their numbers; none where a temporary value is in force."""
    temporary = {name for change in _temporary(rule) for name in change.fields}
    return {
        field: [(number, one) for number, one in enumerate(rule.schedule or ()) if getattr(one, field) is not None]
        for field in _SCHEDULED_FIELDS
        if field not in temporary
    }


def _window_at(windows: _Numbered, at: datetime) -> tuple[int, ScheduledWindow] | None:
    found = window_at([window for _, window in windows], at)
    return None if found is None else windows[found]


def _values(window: ScheduledWindow) -> dict[str, Any]:
    """What the window gives to the fields of the rule."""
    limit = {} if window.limit is None else window.limit.model_dump()
    return {"drain": window.drain, **limit}
