"""Points in time in JSON and queries: RFC 3339 with an offset."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _parsed(value: Any) -> Any:  # noqa: ANN401 - whatever a client sends
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or _RFC_3339.fullmatch(value) is None:
        raise ValueError("must be a time with its offset, such as 2026-03-01T09:00:00Z")
    return datetime.fromisoformat(value.upper())


Timestamp = Annotated[datetime, BeforeValidator(_parsed), Field(examples=["2026-03-01T09:00:00Z"])]


def unix_us(time: datetime) -> int:
    """Return a point in time in Unix microseconds; 0 for any before 1970."""
    return max(0, (time - _EPOCH) // timedelta(microseconds=1))


def timestamp_text(unix_ms: int | None) -> str | None:
    """Write Unix milliseconds, in UTC and with milliseconds. None stays None."""
    return None if unix_ms is None else datetime.fromtimestamp(unix_ms / 1000, UTC).isoformat(timespec="milliseconds")
