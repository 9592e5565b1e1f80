"""Points in time as people write them: `2026-03-01T09:00:00Z`, or `2h` for two hours ago."""

import re
from datetime import UTC, datetime, timedelta

from app.errors import InvalidInput
from app.web.excerpt import one_line

_AGO = re.compile("([0-9]{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse_time(text: str) -> str:
    """Return a time as the admin API takes it; `2h` is two hours ago. Raises InvalidInput."""
    ago = _AGO.fullmatch(text)
    try:
        if ago is not None:
            return (datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})).isoformat()
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.astimezone()).isoformat()
    except (ValueError, OverflowError) as error:
        problem = f"{one_line(repr(text), 80)} is not a time: write it as 2026-03-01T09:00:00Z, or 2h for 2 hours ago"
        raise InvalidInput(problem) from error
