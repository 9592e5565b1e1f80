"""Problem details (RFC 9457): every refusal of ours, as bytes."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from time import time
from typing import Any

import orjson

from app.errors import MethodNotAllowed, PenstockError, TooManyRequests, Unauthenticated, Unavailable
from app.web.headers import Headers

QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"
UNAVAILABLE_RETRY_AFTER_S = 1


@dataclass(slots=True)
class Reply:
    """A whole answer of ours. `written`: as it goes to most clients, once it has gone to one of them."""

    status: int
    headers: Headers
    body: bytes
    written: bytes = b""


def problem(
    status: int,
    detail: str,
    headers: Sequence[tuple[bytes, bytes]] = (),
    *,
    type_: str = "about:blank",
    **more: Any,  # noqa: ANN401 - JSON
) -> Reply:
    """A problem document; `more` are its extension members."""
    fields: Mapping[str, Any] = {"type": type_, "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return json_reply(status, {**fields, **more}, headers, content_type=b"application/problem+json")


def json_reply(
    status: int, body: object, headers: Sequence[tuple[bytes, bytes]] = (), *, content_type: bytes = b"application/json"
) -> Reply:
    """A JSON document that no cache keeps."""
    encoded = orjson.dumps(body)
    framing = [
        (b"content-type", content_type),
        (b"content-length", str(len(encoded)).encode()),
        (b"cache-control", b"no-store"),
        (b"date", date(int(time()))),
    ]
    return Reply(status, [*framing, *headers], encoded)


@lru_cache(maxsize=1)
def date(unix_s: int) -> bytes:
    """The value of `Date`."""
    return formatdate(unix_s, usegmt=True).encode()


def with_own_headers(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """With what every answer of ours says, where it does not yet: no cache keeps it, and when it was given."""
    found = list(headers)
    present = {name.lower() for name, _ in found}
    ours = [(b"cache-control", b"no-store"), (b"date", date(int(time())))]
    return [*found, *(header for header in ours if header[0] not in present)]


def retry_after(seconds: float) -> tuple[bytes, bytes]:
    """Whole seconds, rounded up, at least 1: true when obeyed."""
    return (b"retry-after", str(max(1, math.ceil(seconds))).encode())


def of_error(error: PenstockError) -> Reply:
    """What an error becomes over HTTP."""
    headers: Headers = []
    if isinstance(error, Unauthenticated):
        challenge = b'Bearer error="invalid_token"' if error.invalid_token else b'Bearer realm="penstock"'
        headers.append((b"www-authenticate", challenge))
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", error.allow.encode()))
    if isinstance(error, Unavailable):
        headers.append(retry_after(UNAVAILABLE_RETRY_AFTER_S))
    if isinstance(error, TooManyRequests):
        headers.append(retry_after(error.retry_after_s))
    return problem(error.status, str(error), headers)
