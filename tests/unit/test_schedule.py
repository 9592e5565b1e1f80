"""Schedules: which window contains a moment, and when that changes; against a clock that is looked at every minute."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.rules.schedule import DAYS, ScheduledWindow, interval, next_change, window_at

MINUTE = timedelta(minutes=1)
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia"]
CHANGES = {
    "Europe/Berlin": ["2026-03-29", "2026-10-25"],
    "America/New_York": ["2026-03-08", "2026-11-01"],
    "Australia/Lord_Howe": ["2026-04-05", "2026-10-04"],
    "Pacific/Apia": ["2011-12-30"],
}
DRAIN = {"limit": 1, "window_seconds": 1}
CLOCK = st.times().map(lambda of_day: of_day.replace(second=0, microsecond=0))


def window(begin: str, end: str, timezone: str = "UTC", days: list[str] | None = None) -> ScheduledWindow:
    fields = {"from": begin, "to": end, "timezone": timezone, "drain": DRAIN}
    return ScheduledWindow.model_validate(fields | ({} if days is None else {"days": days}))


WINDOWS = st.builds(
    lambda begin, end, zone, days: window(begin.isoformat(), end.isoformat(), zone, days),
    CLOCK,
    CLOCK,
    st.sampled_from(ZONES),
    st.none() | st.lists(st.sampled_from(DAYS), min_size=1, unique=True),
)


@st.composite
def moments(draw: st.DrawFn) -> datetime:
    """Often close to a change of clocks."""
    days = [day for of_zone in CHANGES.values() for day in of_zone]
    day = datetime.fromisoformat(draw(st.sampled_from([*days, "2026-07-01", "2028-02-29"])))
    return day.replace(tzinfo=UTC) + MINUTE * draw(st.integers(-3000, 3000))


def shows(one: ScheduledWindow, at: datetime) -> bool:
    """Whether a clock on a wall shows a time of the window: what it must be where no clock is changed."""
    local = at.astimezone(ZoneInfo(one.timezone))
    begin, end = time.fromisoformat(one.from_), time.fromisoformat(one.to)
    today, before = DAYS[local.weekday()], DAYS[(local.weekday() - 1) % 7]
    starts, started = (one.days is None or day in one.days for day in (today, before))
    if begin < end:
        return starts and begin <= local.time() < end
    return (starts and local.time() >= begin) or (started and local.time() < end)


def is_far_from_changes(one: ScheduledWindow, at: datetime) -> bool:
    zone = ZoneInfo(one.timezone)
    offsets = {(at + timedelta(hours=hours)).astimezone(zone).utcoffset() for hours in range(-73, 49, 1)}
    return len(offsets) == 1


@given(WINDOWS, moments())
def test_a_window_contains_the_moments_at_which_a_clock_shows_its_times(one: ScheduledWindow, at: datetime) -> None:
    if is_far_from_changes(one, at):
        assert (window_at([one], at) == 0) == shows(one, at)


@given(st.lists(WINDOWS, max_size=3), moments())
def test_the_next_change_is_the_first(windows: list[ScheduledWindow], at: datetime) -> None:
    found, now = next_change(windows, at), window_at(windows, at)
    if found is not None:
        assert found > at
        assert window_at(windows, found) != now
        assert window_at(windows, found - timedelta(seconds=1)) == now
    until = min(found or at + timedelta(days=7), at + timedelta(days=7))
    step = max((until - at) / 200, timedelta(seconds=1))
    for number in range(200):
        moment = at + step * number
        if moment < until:
            assert window_at(windows, moment) == now, moment


@given(WINDOWS, moments())
def test_a_window_never_ends_before_it_begins(one: ScheduledWindow, at: datetime) -> None:
    found = interval(one, at.date())
    assert found.begin <= found.end
    assert found.end - found.begin <= timedelta(hours=26)


@pytest.mark.parametrize(
    ("begin", "end", "day", "expected"),
    [
        ("09:00", "17:00", "2026-07-01", ("07:00", "15:00")),
        ("09:00", "17:00", "2026-01-15", ("08:00", "16:00")),
        # 29 March: 02:00 is 03:00, which is 01:00 UTC
        ("01:30", "03:30", "2026-03-29", ("00:30", "01:30")),
        ("02:30", "04:00", "2026-03-29", ("01:00", "02:00")),
        ("01:00", "02:30", "2026-03-29", ("00:00", "01:00")),
        ("02:59", "03:05", "2026-03-29", ("01:00", "01:05")),
        ("02:10", "02:50", "2026-03-29", ("01:00", "01:00")),
        # 25 October: 03:00 is 02:00, so that 02:30 is 00:30 and 01:30 UTC, of which the first counts
        ("01:30", "02:30", "2026-10-25", ("23:30", "00:30")),
        ("02:30", "03:30", "2026-10-25", ("00:30", "02:30")),
        ("22:00", "06:00", "2026-10-24", ("20:00", "05:00")),
        ("00:00", "00:00", "2026-10-25", ("22:00", "23:00")),
        ("00:00", "00:00", "2026-03-29", ("23:00", "22:00")),
    ],
)
def test_windows_of_berlin_in_utc(begin: str, end: str, day: str, expected: tuple[str, str]) -> None:
    found = interval(window(begin, end, "Europe/Berlin"), datetime.fromisoformat(day).date())
    assert tuple(f"{moment:%H:%M}" for moment in (found.begin, found.end)) == expected


def test_a_night_belongs_to_the_day_on_which_it_begins() -> None:
    friday_night = window("22:00", "06:00", days=["fri"])
    for moment, expected in [("2026-07-03T23:00", 0), ("2026-07-04T05:59", 0), ("2026-07-04T06:00", None)]:
        assert window_at([friday_night], datetime.fromisoformat(moment).replace(tzinfo=UTC)) == expected
    assert window_at([friday_night], datetime(2026, 7, 3, 5, tzinfo=UTC)) is None


def test_of_windows_that_overlap_the_first_counts() -> None:
    windows = [window("12:00", "13:00"), window("09:00", "17:00")]
    noon = datetime(2026, 7, 1, 12, tzinfo=UTC)
    assert [window_at(windows, noon + timedelta(hours=hours)) for hours in (-4, -1, 0, 1, 5)] == [None, 1, 0, 1, None]
    assert next_change(windows, noon) == noon + timedelta(hours=1)


def test_what_never_changes_has_no_next_change() -> None:
    always = window("00:00", "00:00", "Europe/Berlin")
    for at in (datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 10, 24, 12, tzinfo=UTC)):
        assert next_change([always], at) is None
        assert window_at([always], at) == 0
    assert next_change([], datetime(2026, 1, 1, tzinfo=UTC)) is None


def test_time_zones_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The zoneinfo module remembers eight."""
    read: list[str] = []

    def counted(name: str) -> ZoneInfo:
        read.append(name)
        return ZoneInfo(name)

    monkeypatch.setattr("app.rules.schedule.ZoneInfo", counted)
    names = [f"Etc/GMT{number:+}" for number in range(-14, 2)]
    windows = [window("12:00", "13:00", name) for name in names]
    for hour in range(3):
        next_change(windows, datetime(2026, 7, 1, hour, tzinfo=UTC))
    assert len(read) <= len(names)
