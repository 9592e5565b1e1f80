"""Checks the parsed head of a request, and refuses one that other HTTP implementations could read differently."""

import re
from dataclasses import dataclass

from app.errors import MalformedRequest, MethodNotAllowed, NotSupported
from app.web.headers import Headers

VERSIONS = frozenset({"1.0", "1.1"})
MAX_LENGTH_DIGITS = 18
"""A `Content-Length` of so many digits fits into a 64-bit integer."""

HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+;=%:\[\]-]+")
_SCHEMES = (b"http", b"https")
_SINGLE = frozenset({b"host", b"content-length", b"transfer-encoding", b"expect", b"authorization"})
FRAMING = frozenset({b"content-length", b"transfer-encoding"})
_LOOKALIKES = frozenset({b"content_length", b"transfer_encoding"})
"""App servers that pass headers as variables (CGI, WSGI) cannot tell these from the real ones."""


@dataclass(slots=True)
class Head:
    """The head of a request. Names of headers are in lower case.

    `target` is in origin form and otherwise unchanged; `path` is its part before the query. `single` contains those
    headers that may occur only once.
    """

    method: str
    version: str
    target: bytes
    path: bytes
    headers: Headers
    single: dict[bytes, bytes]
    has_body: bool
    expects_continue: bool

    @property
    def content_length(self) -> int:
        """How long the body is, in bytes; 0 if it has chunks."""
        return int(self.single.get(b"content-length", b"0"))


def read_head(method: str, version: str, url: bytes, headers: Headers) -> Head:
    """Check the parts of a head as they were parsed: names in lower case, values without surrounding white space.

    Raises MalformedRequest, MethodNotAllowed, NotSupported.
    """
    if version not in VERSIONS:
        raise MalformedRequest("Only HTTP/1.1 and HTTP/1.0 are supported.")
    if method == "CONNECT":
        raise MethodNotAllowed("This server does not support CONNECT.", allow="GET, HEAD, POST, PUT, PATCH, DELETE")
    single: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in _SINGLE:
            if name in single:
                raise MalformedRequest(f"The request has two {name.decode().title()} headers.")
            single[name] = value
        elif name in _LOOKALIKES:
            raise MalformedRequest(f"The header {name.decode()} is not allowed.")
        elif name == b"upgrade" and _offers_websocket(value):
            raise NotSupported("WebSocket is not supported.")
    host = _host(single.get(b"host"), version)
    has_body = _has_body(single, version)
    expects_continue = b"expect" in single and version == "1.1" and single[b"expect"].lower() == b"100-continue"
    target = _origin_form(url, host)
    return Head(method, version, target, target.partition(b"?")[0], headers, single, has_body, expects_continue)


def _offers_websocket(upgrade: bytes) -> bool:
    """Whether the client wants a WebSocket. Any other protocol is an offer that may be ignored (RFC 9110, 7.8)."""
    return any(protocol.partition(b"/")[0].strip() == b"websocket" for protocol in upgrade.lower().split(b","))


def _host(host: bytes | None, version: str) -> bytes | None:
    if host is None:
        if version == "1.1":
            raise MalformedRequest("The request has no Host header.")
    elif not HOST.fullmatch(host):
        raise MalformedRequest("The Host header is not a host name with an optional port.")
    return host


def _has_body(single: dict[bytes, bytes], version: str) -> bool:
    length, coding = single.get(b"content-length"), single.get(b"transfer-encoding")
    if coding is not None:
        if length is not None:
            raise MalformedRequest("The request has both Content-Length and Transfer-Encoding.")
        if version == "1.0":
            raise MalformedRequest("HTTP/1.0 does not have Transfer-Encoding.")
        if coding.lower() != b"chunked":
            raise NotSupported("The only supported transfer coding is chunked.")
        return True
    if length is None:
        return False
    if not length.isdigit() or len(length) > MAX_LENGTH_DIGITS or (length[:1] == b"0" and length != b"0"):
        raise MalformedRequest("Content-Length is not a plain decimal number.")
    return length != b"0"


def _origin_form(url: bytes, host: bytes | None) -> bytes:
    """The target in origin form. One in absolute form must name the same host as the Host header."""
    target = url if url.startswith(b"/") else _without_authority(url, host)
    if b"#" in target or not target.isascii():
        raise MalformedRequest("The target contains characters that must be percent-encoded.")
    return target


def _without_authority(url: bytes, host: bytes | None) -> bytes:
    scheme, separator, rest = url.partition(b"://")
    if not separator or scheme.lower() not in _SCHEMES:
        raise MalformedRequest("The target must begin with a slash.")
    end = min((index for index in (rest.find(b"/"), rest.find(b"?")) if index >= 0), default=len(rest))
    if host is None or rest[:end].lower() != host.lower():
        raise MalformedRequest("The target and the Host header name different hosts.")
    target = rest[end:]
    return target if target.startswith(b"/") else b"/" + target
