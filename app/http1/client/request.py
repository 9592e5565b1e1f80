"""A request's head as bytes, with a framing of its own whatever its headers say."""

from app.errors import MalformedRequest
from app.web.headers import Headers

CHUNKED = -1
"""The length of a body that is not known before it ends."""

_MEANS_CONTENT = frozenset({"POST", "PUT", "PATCH"})  # RFC 9110, 8.6: no content is said with a length of 0


def encode_head(method: str, target: bytes, headers: Headers, host: bytes, length: int | None) -> tuple[bytes, int]:
    """The head, and the length of the body that it announces.

    `length`: the body's, or None where it streams: then what `Content-Length` says, else CHUNKED. `host` is for a
    request that names none. Raises MalformedRequest for what can't be written without becoming something else.
    """
    lines = [b"%b %b HTTP/1.1\r\n" % (method.encode(), target)]
    declared: int | None = None
    named = False
    for name, value in headers:
        if name == b"content-length":
            if declared is not None or not value.isdigit():
                raise MalformedRequest("The request's Content-Length is not one number.")
            declared = int(value)
        elif name != b"transfer-encoding":
            lines.append(name + b": " + value + b"\r\n")
            if name == b"host":
                named = True
    if not named:
        lines.insert(1, b"host: %b\r\n" % host)
    if length is None:
        length = CHUNKED if declared is None else declared
    if length == CHUNKED:
        lines.append(b"transfer-encoding: chunked\r\n")
    elif length or declared is not None or method in _MEANS_CONTENT:
        lines.append(b"content-length: %d\r\n" % length)
    lines.append(b"\r\n")
    head = b"".join(lines)
    if len(head.splitlines()) != len(lines) or b"\0" in head or b" " in target:
        raise MalformedRequest("The request's head holds a character that HTTP does not allow there.")
    return head, length
