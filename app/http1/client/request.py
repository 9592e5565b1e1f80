"""Encodes the head of a request. The framing of the body follows from its length, not from the given headers."""

from app.errors import MalformedRequest
from app.web.headers import Headers

CHUNKED = -1
"""Stands for the length of a body whose length is not known in advance."""

_EXPECTS_CONTENT = frozenset({"POST", "PUT", "PATCH"})  # RFC 9110, 8.6: without content they send a length of 0


def encode_head(method: str, target: bytes, headers: Headers, host: bytes, length: int | None) -> tuple[bytes, int]:
    """Returns the head, and the length of the body that it announces.

    `length` is the length of the body in bytes, or None for a body that streams: then the request's Content-Length is
    announced or, without one, CHUNKED. `host` is used if the request has no Host header. Raises MalformedRequest if the
    head, once encoded, could be parsed as a different one.
    """
    lines = [b"%b %b HTTP/1.1\r\n" % (method.encode(), target)]
    declared: int | None = None
    has_host = False
    for name, value in headers:
        if name == b"content-length":
            if declared is not None or not value.isdigit():
                raise MalformedRequest("The request must have one Content-Length, and it must be a number.")
            declared = int(value)
        elif name != b"transfer-encoding":
            lines.append(name + b": " + value + b"\r\n")
            if name == b"host":
                has_host = True
    if not has_host:
        lines.insert(1, b"host: %b\r\n" % host)
    if length is None:
        length = CHUNKED if declared is None else declared
    if length == CHUNKED:
        lines.append(b"transfer-encoding: chunked\r\n")
    elif length or declared is not None or method in _EXPECTS_CONTENT:
        lines.append(b"content-length: %d\r\n" % length)
    lines.append(b"\r\n")
    head = b"".join(lines)
    if len(head.splitlines()) != len(lines) or b"\0" in head or b" " in target:
        raise MalformedRequest("The head of the request contains a character that HTTP does not allow there.")
    return head, length
