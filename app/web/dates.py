"""Dates in headers."""

from email.utils import formatdate
from functools import lru_cache


@lru_cache(maxsize=1)
def date(unix_s: int) -> bytes:
    """The value of a `Date` header."""
    return formatdate(unix_s, usegmt=True).encode()
