"""The head of a request, once parsed: refused where another reader could take it for another request. Pure."""

import re
from dataclasses import dataclass

from app.errors import BodyTooLarge, MalformedRequest, MethodNotAllowed, NotSupported
from app.web.headers import Headers

VERSIONS = frozenset({"1.0", "1.1"})
LONGEST_LENGTH = 18
"""Digits of a `Content-Length`: what every reader's integer holds."""

_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+;=%:\[\]-]+")
_SCHEMES = (b"http", b"https")
_SINGLE = frozenset({b"host", b"content-length", b"transfer-encoding", b"upgrade", b"expect", b"authorization"})
_LOOKALIKES = frozenset({b"content_length", b"transfer_encoding"})
"""Application servers that know headers as variables (CGI, WSGI) can't tell these from the real ones."""


@dataclass(slots=True)
class Head:
    """`target` is in origin form, as it came: a `path` and what may follow it. Names of headers are in lower case.

    `single`: the headers that may be there once only.
    """

    method: str
    version: str
    target: bytes
    path: bytes
    headers: Headers
    single: dict[bytes, bytes]
    has_body: bool
    expects_continue: bool


def read_head(method: str, version: str, url: bytes, headers: Headers, max_body_bytes: int = 0) -> Head:
    """Names are in lower case, values without white space around them.

    Raises MalformedRequest, MethodNotAllowed, NotSupported, BodyTooLarge.
    """
    if version not in VERSIONS:
        raise MalformedRequest("HTTP/1.1 and HTTP/1.0 are spoken here.")
    if method == "CONNECT":
        raise MethodNotAllowed("CONNECT is not for this server.", allow="GET, HEAD, POST, PUT, PATCH, DELETE")
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in _SINGLE:
            if name in found:
                raise MalformedRequest(f"The request has two {name.decode().title()} headers.")
            found[name] = value
        elif name in _LOOKALIKES:
            raise MalformedRequest(f"{name.decode()} is no header of a request.")
    if b"upgrade" in found:
        raise NotSupported("Upgrades are not supported.")
    host = _host(found.get(b"host"), version)
    has_body = _has_body(found, version, max_body_bytes)
    expects_continue = b"expect" in found and version == "1.1" and found[b"expect"].lower() == b"100-continue"
    target = _origin_form(url, host)
    return Head(method, version, target, target.partition(b"?")[0], headers, found, has_body, expects_continue)


def _host(host: bytes | None, version: str) -> bytes | None:
    if host is None:
        if version == "1.1":
            raise MalformedRequest("The request has no Host header.")
    elif not _HOST.fullmatch(host):
        raise MalformedRequest("The Host header names no host.")
    return host


def _has_body(found: dict[bytes, bytes], version: str, max_body_bytes: int) -> bool:
    length, coding = found.get(b"content-length"), found.get(b"transfer-encoding")
    if coding is not None:
        if length is not None:
            raise MalformedRequest("The request frames its body in more than one way.")
        if version == "1.0":
            raise MalformedRequest("Transfer-Encoding is not known to HTTP/1.0.")
        if coding.lower() != b"chunked":
            raise NotSupported("The only transfer coding is chunked.")
        return True
    if length is None:
        return False
    if not length.isdigit() or len(length) > LONGEST_LENGTH or (length[:1] == b"0" and length != b"0"):
        raise MalformedRequest("Content-Length is no plain number.")
    if 0 < max_body_bytes < int(length):
        raise BodyTooLarge(f"A request has at most {max_body_bytes} bytes.")
    return length != b"0"


def _origin_form(url: bytes, host: bytes | None) -> bytes:
    """A target in absolute form is one of this server's, by the name that the client calls it: it chooses nothing."""
    target = url if url.startswith(b"/") else _without_authority(url, host)
    if b"#" in target or not target.isascii():
        raise MalformedRequest("The target holds what must be encoded.")
    return target


def _without_authority(url: bytes, host: bytes | None) -> bytes:
    scheme, separator, rest = url.partition(b"://")
    if not separator or scheme.lower() not in _SCHEMES:
        raise MalformedRequest("The target must begin with a slash.")
    end = min((at for at in (rest.find(b"/"), rest.find(b"?")) if at >= 0), default=len(rest))
    if host is None or rest[:end].lower() != host.lower():
        raise MalformedRequest("The target names another host than the Host header.")
    target = rest[end:]
    return target if target.startswith(b"/") else b"/" + target
