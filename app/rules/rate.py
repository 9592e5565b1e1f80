"""Rates as people write them: `50/s`, `100/m`, `20/h`, `5/30s`."""

import re

from app.errors import InvalidInput
from app.web.excerpt import one_line

_RATE = re.compile(r"([0-9]{1,10})/([0-9]{0,9})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def parse_rate(text: str) -> tuple[int, int]:
    """Read a rate as a number of units and a window in seconds; raises InvalidInput."""
    match = _RATE.fullmatch(text.strip())
    if match is None or int(match[1]) == 0 or (match[2] and int(match[2]) == 0):
        raise InvalidInput(f"{one_line(repr(text), 80)} is no rate: write 50/s, 100/m, 20/h or 5/30s")
    return int(match[1]), int(match[2] or 1) * _SECONDS[match[3]]


def format_limit(limit: int, window_s: float | None) -> str:
    """Write a limit as a rate; without a window it is a number of requests in flight."""
    return f"{limit} at once" if window_s is None else format_rate(limit, window_s)


def format_rate(limit: int, window_s: float) -> str:
    """Write a rate in the shortest form that `parse_rate` reads."""
    for unit in ("d", "h", "m"):
        if window_s == _SECONDS[unit]:
            return f"{limit}/{unit}"
    return f"{limit}/s" if window_s == 1 else f"{limit}/{window_s:g}s"
