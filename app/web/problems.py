"""Replies of Penstock itself, as bytes; errors become problem details (RFC 9457)."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from time import time
from typing import Any

import orjson

from app.errors import (
    MethodNotAllowed,
    PenstockError,
    PreconditionFailed,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)
from app.web.dates import date
from app.web.headers import Headers

QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"
UNAVAILABLE_RETRY_AFTER_S = 1


@dataclass(slots=True)
class Reply:
    """A whole response of Penstock itself.

    `encoded`: its bytes for most clients, kept when it is first sent to one; `encoded_with`: the headers that were
    added then.
    """

    status: int
    headers: Headers
    body: bytes
    encoded: bytes = b""
    encoded_with: Headers | None = None


def problem(
    status: int,
    detail: str,
    headers: Sequence[tuple[bytes, bytes]] = (),
    *,
    type_: str = "about:blank",
    **more: Any,  # noqa: ANN401 - any JSON value
) -> Reply:
    """A problem document; `more` are its extension members."""
    fields: Mapping[str, Any] = {"type": type_, "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return json_reply(status, {**fields, **more}, headers, content_type=b"application/problem+json")


def json_reply(
    status: int, body: object, headers: Sequence[tuple[bytes, bytes]] = (), *, content_type: bytes = b"application/json"
) -> Reply:
    """A JSON document that must not be cached."""
    content = orjson.dumps(body)
    framing = [
        (b"content-type", content_type),
        (b"content-length", str(len(content)).encode()),
        (b"cache-control", b"no-store"),
        (b"date", date(int(time()))),
    ]
    return Reply(status, [*framing, *headers], content)


def add_own_headers(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Add `Cache-Control: no-store` and `Date` unless the headers contain them."""
    found = list(headers)
    present = {name.lower() for name, _ in found}
    own = [(b"cache-control", b"no-store"), (b"date", date(int(time())))]
    return [*found, *(header for header in own if header[0] not in present)]


def retry_after(seconds: float) -> tuple[bytes, bytes]:
    """A `Retry-After` header: whole seconds, rounded up, at least 1."""
    return (b"retry-after", str(max(1, math.ceil(seconds))).encode())


def error_reply(error: PenstockError) -> Reply:
    """The problem document of an error, with the status of its class."""
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
    return problem(error.status, str(error), headers, **_more(error))


def _more(error: PenstockError) -> dict[str, Any]:
    """The members that a problem document has besides."""
    if not isinstance(error, PreconditionFailed):
        return {}
    return {"current": error.current, "current_etag": error.current_etag, "based_on": error.based_on}
