"""Durations as people write and read them: `90s`, `15m`, `1h`, `7d`."""

import re
from datetime import timedelta

from app.errors import InvalidInput
from app.web.excerpt import one_line

DURATION = re.compile("([0-9]{1,9})([smhd])")
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def format_duration(seconds: float | None) -> str:
    """Write a duration in its largest two units: `3d 4h`, `5m 12s`, `4.2s`; `-` where it is not known."""
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    parts = (whole // 86_400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "m"), (whole % 60, "s")
    first = next(index for index, (count, _) in enumerate(parts) if count)
    return " ".join(f"{count}{unit}" for count, unit in parts[first : first + 2] if count)


def parse_duration(text: str) -> timedelta:
    """Parse a duration such as `90s`, `15m`, `1h` or `7d`. Raises InvalidInput."""
    match = DURATION.fullmatch(text)
    if match is None or int(match[1]) == 0:
        raise InvalidInput(f"{one_line(repr(text), 80)} is not a duration: write it as 90s, 15m, 1h or 7d")
    return timedelta(seconds=int(match[1]) * _UNITS_S[match[2]])
