"""Points in time as people write them: `2026-03-01T09:00:00Z`, or `2h` for two hours ago."""

from datetime import UTC, datetime

from app.commands.durations import DURATION, parse_duration
from app.errors import InvalidInput
from app.web.excerpt import one_line


def parse_time(text: str) -> str:
    """Return a time as the admin API takes it; one without an offset is local. Raises InvalidInput."""
    try:
        if DURATION.fullmatch(text):
            return (datetime.now(UTC) - parse_duration(text)).isoformat()
        return datetime.fromisoformat(text).astimezone(UTC).isoformat()
    except (InvalidInput, ValueError, OverflowError) as error:
        problem = f"{one_line(repr(text), 80)} is not a time: write it as 2026-03-01T09:00:00Z, or 2h for 2 hours ago"
        raise InvalidInput(problem) from error


def format_time(text: str | None) -> str:
    """Write a time of the admin API for people, to the second, in UTC: `2026-03-01 09:00:00Z`. None is empty."""
    return "" if text is None else datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
