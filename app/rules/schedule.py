"""Schedules: windows of local time in which a rule has another drain rate or limit. All functions are pure.

A time of day that does not exist, because clocks are put forward over it, is the moment of that change; one that exists
twice is the first of the two. So a window never ends before it begins.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Annotated, Any, Literal, NamedTuple, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator

from app.rules.field_types import LimitUnits, Seconds, StrictModel, Units
from app.rules.limits import Drain

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MAX_WINDOWS = 16

_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
_HORIZONS = ((1, _DAY / 2), (8, 7 * _DAY))
"""Up to which local day windows are looked at, and how far ahead none is missing then. Most schedules change soon."""

_DAYS_BEFORE = 2
"""A window begins at most so many local days before any moment that is in it."""


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo:
    """The time zone of this name, read once: `zoneinfo` remembers eight, and the database has six hundred."""
    return ZoneInfo(name)


def _known_timezone(name: str) -> str:
    try:
        _zone(name)
    except (ValueError, OSError, LookupError) as error:
        raise ValueError("must be a time zone of the IANA database, such as Europe/Berlin") from error
    return name


def _different_days(days: list[Day]) -> list[Day]:
    if len(set(days)) < len(days):
        raise ValueError("a day must not occur twice")
    return days


TimeOfDay = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$")]
TimeZone = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$", max_length=64),
    AfterValidator(_known_timezone),
]  # fmt: skip
Days = Annotated[list[Day], Field(min_length=1, max_length=7), AfterValidator(_different_days)]


class ScheduledLimit(StrictModel):
    """What takes the place of the rule's `limit`, `window_seconds` and `burst`."""

    limit: LimitUnits
    """Units per window."""
    window_seconds: Seconds
    """The window."""
    burst: Units | None = None
    """How many units at once (GCRA only). Default: `limit`."""


class ScheduledWindow(StrictModel):
    """A window of local time, and what the rule has in it."""

    model_config = ConfigDict(serialize_by_alias=True)

    days: Days | None = None
    """The days on which the window begins: `mon`, `tue`, `wed`, `thu`, `fri`, `sat`, `sun`. Default: every day."""
    from_: Annotated[TimeOfDay, Field(alias="from")]
    """When the window begins, in local time: `"22:00"` or `"22:00:30"`."""
    to: TimeOfDay
    """When it ends, on the next day if that is not after `from`. The same time is one day later."""
    timezone: TimeZone = "UTC"
    """Whose local time it is: a name of the IANA time zone database, such as `Europe/Berlin`."""
    drain: Drain | None = None
    """The drain rate in the window. Required without `limit`."""
    limit: ScheduledLimit | None = None
    """The limit in the window: `limit`, `window_seconds` and `burst`. Required without `drain`."""

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if self.drain is None and self.limit is None:
            raise ValueError("drain or limit: one of them is required")
        return self

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of the rule in the window."""
        drain = {} if self.drain is None else {"drain": self.drain.model_dump()}
        return drain if self.limit is None else drain | self.limit.model_dump()


class Interval(NamedTuple):
    """From when until when a window lasts, in UTC; `number` is its place in the schedule."""

    begin: datetime
    end: datetime
    number: int


def window_at(windows: Sequence[ScheduledWindow], at: datetime) -> int | None:
    """Return the number of the first window that contains a moment; None if none does."""
    return _first_at(_intervals(windows, at, days_after=1), at)


def next_change(windows: Sequence[ScheduledWindow], at: datetime) -> datetime | None:
    """Return when another window comes into force than at a moment, or none does; None if that never happens."""
    for days_after, complete_until in _HORIZONS:
        change = _next_of(list(_intervals(windows, at, days_after)), at)
        if change is not None and change <= at + complete_until:
            return change
    return None


def _next_of(intervals: Sequence[Interval], at: datetime) -> datetime | None:
    """The next change by these intervals: an earlier window begins, or the one that is in force ends."""
    now = _first_at(intervals, at)
    if now is None:
        return min((one.begin for one in intervals if at < one.begin < one.end), default=None)
    end = at
    for one in sorted(one for one in intervals if one.number == now):
        if one.begin <= end:
            end = max(end, one.end)
    return min([end, *(one.begin for one in intervals if one.number < now and at < one.begin < one.end)])


def interval(window: ScheduledWindow, day: date, number: int = 0) -> Interval:
    """Return from when until when the window lasts that begins on a local day."""
    zone = _zone(window.timezone)
    begin, end = time.fromisoformat(window.from_), time.fromisoformat(window.to)
    last_day = day if end > begin else day + _DAY
    return Interval(_instant(day, begin, zone), _instant(last_day, end, zone), number)


def _intervals(windows: Sequence[ScheduledWindow], at: datetime, days_after: int) -> Iterator[Interval]:
    for number, window in enumerate(windows):
        today = at.astimezone(_zone(window.timezone)).date()
        for offset in range(-_DAYS_BEFORE, days_after + 1):
            day = today + offset * _DAY
            if window.days is None or DAYS[day.weekday()] in window.days:
                yield interval(window, day, number)


def _first_at(intervals: Sequence[Interval] | Iterator[Interval], at: datetime) -> int | None:
    return min((one.number for one in intervals if one.begin <= at < one.end), default=None)


def _instant(day: date, of_day: time, zone: ZoneInfo) -> datetime:
    """The moment of a local time, in UTC."""
    local = datetime.combine(day, of_day)
    first, second = (local.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    moment = first.astimezone(UTC)
    if first.utcoffset() == second.utcoffset() or moment.astimezone(zone).replace(tzinfo=None) == local:
        return moment
    return _change_of_clocks(second.astimezone(UTC), moment, zone)


def _change_of_clocks(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """The first second with another offset than `before`; `after` has another one."""
    offset = before.astimezone(zone).utcoffset()
    while after - before > _SECOND:
        middle = before + timedelta(seconds=(after - before) // _SECOND // 2)
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after
