"""Redis' wire format (RESP2): commands as bytes, and the errors of ours that its errors become."""

from collections.abc import Sequence

from redis.exceptions import NoScriptError, ResponseError

from app.errors import Unavailable

Argument = str | bytes | int | float

_NOT_NOW = frozenset({"LOADING", "BUSY", "UNKILLABLE", "TRYAGAIN", "NOAUTH", "NOPERM", "WRONGPASS"})
_NO_MORE_WRITES = ("OOM", "READONLY", "MISCONF", "NOREPLICAS", "MASTERDOWN", "CLUSTERDOWN")
"""Anywhere in the text: what fails within a script is told in the words of the script's error."""


def bulk(value: Argument) -> bytes:
    """One argument as it goes over the wire."""
    data = value if isinstance(value, bytes) else str(value).encode()
    return b"$%d\r\n%b\r\n" % (len(data), data)


def bulks(values: Sequence[Argument]) -> bytes:
    """Many arguments."""
    parts = []
    for value in values:
        data = value if type(value) is bytes else str(value).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


def array(length: int) -> bytes:
    """What a command of so many words begins with."""
    return b"*%d\r\n" % length


def command(*words: Argument) -> bytes:
    """A whole command."""
    return array(len(words)) + bulks(words)


def error_of(unavailable: type[Unavailable], text: str) -> Exception:
    """An error reply: `unavailable` where the store can't do this now, else redis-py's own types."""
    code = text.partition(" ")[0]
    if code == "NOSCRIPT":
        return NoScriptError(text)
    if code in _NOT_NOW or any(word in text for word in _NO_MORE_WRITES):
        return unavailable(f"Redis: {text}")
    return ResponseError(text)
