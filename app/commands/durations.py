"""Durations as people write them: `90s`, `15m`, `1h`, `7d`."""

import re
from datetime import timedelta

from app.errors import InvalidInput
from app.web.excerpt import one_line

DURATION = re.compile("([0-9]{1,9})([smhd])")
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def parse_duration(text: str) -> timedelta:
    """Parse a duration such as `90s`, `15m`, `1h` or `7d`. Raises InvalidInput."""
    match = DURATION.fullmatch(text)
    if match is None or int(match[1]) == 0:
        raise InvalidInput(f"{one_line(repr(text), 80)} is not a duration: write it as 90s, 15m, 1h or 7d")
    return timedelta(seconds=int(match[1]) * _UNITS_S[match[2]])
