"""The bounds of a quota's numbers, within which every number that leaves a process is exact and sensible.

Counters hold times in whole microseconds, Redis takes times to live in integers, and clients read `Retry-After` and
`RateLimit` as integers, some of 32 bits. The same checks are MongoDB's (app/rules/schema.py).
"""

from typing import Any

DAY_S = 86_400
MIN_WINDOW_S = 0.001
MAX_WINDOW_S = 366 * DAY_S
MAX_UNITS = 1_000_000_000
MAX_UNITS_PER_S = 1_000_000
"""One unit takes at least a microsecond."""
MAX_REFILL_S = 10 * MAX_WINDOW_S
"""How long a spent burst may take until all of it is free again; no wait is longer."""

MAX_RULES_AT_ONCE = 1000
"""How many rules one request or transaction writes."""

MAX_VERSION = 2**53 - 1
"""The highest version of a rule: the largest integer that every JSON reader reads exactly."""

_ROUNDING = 1 + 1e-9


def require_sensible_quota(where: str, limit: int, window_s: float, burst: int, headroom_s: float = 0.0) -> None:
    """Check the numbers of a quota against each other. Raises ValueError; `where` precedes the names of its fields.

    The window counts longer by `headroom_s`.
    """
    if limit > window_s * MAX_UNITS_PER_S * _ROUNDING:
        raise ValueError(
            f"{where}limit: at most {int(window_s * MAX_UNITS_PER_S * _ROUNDING)} in {window_s:g} s,"
            " one for each microsecond"
        )
    if headroom_s > window_s:
        raise ValueError(f"headroom_ms: at most {where}window_seconds, which is {window_s:g} s")
    counted_s = window_s + headroom_s
    if burst * counted_s > MAX_REFILL_S * limit:
        raise ValueError(
            f"{where}burst: at most {int(MAX_REFILL_S * limit / counted_s)} at this rate:"
            f" it must be free again within {MAX_REFILL_S // DAY_S} days"
        )


def mongodb_quota_checks(prefix: str, burst: dict[str, Any] | str, headroom_s: dict[str, Any]) -> list[dict[str, Any]]:
    """`require_sensible_quota` as expressions of MongoDB; `prefix` precedes the names of fields: `$` or `$drain.`."""
    limit, window_s = f"{prefix}limit", f"{prefix}window_seconds"
    per_window: dict[str, Any] = {"$multiply": [window_s, MAX_UNITS_PER_S * _ROUNDING]}
    checks: list[dict[str, Any]] = [
        {"$lte": [limit, per_window]},
        {"$lte": [headroom_s, window_s]},
        {"$lte": [{"$multiply": [burst, {"$add": [window_s, headroom_s]}]}, {"$multiply": [limit, MAX_REFILL_S]}]},
    ]
    return [if_numbers([limit, window_s, burst, headroom_s], check) for check in checks]


def if_numbers(values: list[Any], check: dict[str, Any]) -> dict[str, Any]:
    """Make a check hold where one of the values is no number, which the schema refuses or allows by itself."""
    return {"$or": [{"$not": [{"$and": [{"$isNumber": value} for value in values]}]}, check]}
