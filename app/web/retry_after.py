"""Reads the `Retry-After` header of app servers, whatever they send."""

from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_RETRY_AFTER_S = 366 * 24 * 3600.0
"""The longest time that a job may wait for."""

MAX_VALUE_BYTES = 64
"""A longer value is neither a date nor a sensible number."""


def retry_after_s(headers: Iterable[tuple[bytes, bytes]]) -> float:
    """Seconds that the first `Retry-After` asks for, at most MAX_RETRY_AFTER_S; 0 if there is none that is valid.

    Never raises. RFC 9110, section 10.2.3, allows a number of seconds and a date.
    """
    for name, value in headers:
        if name == b"retry-after":
            return min(MAX_RETRY_AFTER_S, max(0.0, _seconds(value.strip())))
    return 0.0


def _seconds(value: bytes) -> float:
    if len(value) > MAX_VALUE_BYTES:
        return 0.0
    if value.isdigit():
        return float(value)
    try:
        return (parsedate_to_datetime(value.decode("latin-1")) - datetime.now(UTC)).total_seconds()
    except Exception:
        return 0.0
