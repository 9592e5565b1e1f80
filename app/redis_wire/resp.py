"""The wire format of Redis (RESP2): encodes commands, and maps error replies to exceptions."""

from collections.abc import Sequence

from redis.exceptions import NoScriptError, ResponseError

from app.errors import Unavailable

Argument = str | bytes | int | float

_TEMPORARY_CODES = frozenset({"LOADING", "BUSY", "UNKILLABLE", "TRYAGAIN", "NOAUTH", "NOPERM", "WRONGPASS"})
_REFUSED_WRITES = ("OOM", "READONLY", "MISCONF", "NOREPLICAS", "MASTERDOWN", "CLUSTERDOWN")
"""Looked for anywhere in the text, because the error of a script quotes the error of the command that failed in it."""


def bulk(value: Argument) -> bytes:
    """Encode one argument."""
    data = value if isinstance(value, bytes) else str(value).encode()
    return b"$%d\r\n%b\r\n" % (len(data), data)


def bulks(values: Sequence[Argument]) -> bytes:
    """Encode several arguments."""
    parts = []
    for value in values:
        data = value if type(value) is bytes else str(value).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


def array(length: int) -> bytes:
    """Encode the header of a command with so many arguments, its name included."""
    return b"*%d\r\n" % length


def command(*words: Argument) -> bytes:
    """Encode a whole command."""
    return array(len(words)) + bulks(words)


def error_from_reply(unavailable: type[Unavailable], text: str) -> Exception:
    """The exception for an error reply: `unavailable` if Redis cannot do this now, else one of redis-py's types."""
    first = text.partition(" ")[0]
    if first == "NOSCRIPT":
        return NoScriptError(text)
    if first in _TEMPORARY_CODES or any(code in text for code in _REFUSED_WRITES):
        return unavailable(f"Redis: {text}", "refused")
    return ResponseError(text)
