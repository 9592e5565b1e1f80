"""CORS for the answers of Penstock itself (https://fetch.spec.whatwg.org/#http-cors-protocol).

The app servers' answers are not touched: whether a page may read them is theirs to say.
"""

import re
from collections.abc import Sequence
from time import time

from app.web.dates import date
from app.web.headers import Headers, value_of
from app.web.problems import Reply

EXPOSED = (
    "Location",
    "Operation-Location",
    "Retry-After",
    "RateLimit",
    "RateLimit-Policy",
    "Penstock-Job-Id",
    "Penstock-Job-Status",
)
"""What a page of another origin can read besides the few headers that every page can."""

METHODS = b"GET, HEAD, DELETE"
MAX_AGE_S = 600
MAX_REQUESTED_BYTES = 4096
NO_HEADERS: Headers = []
ANY = "*"

_NAMES = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:[ \t]*,[ \t]*[!#$%&'*+.^_`|~0-9A-Za-z-]+)*")


def is_preflight(method: str, headers: Headers) -> bool:
    """Whether a browser asks what a page of another origin may send."""
    return (
        method == "OPTIONS"
        and value_of(headers, b"origin") is not None
        and value_of(headers, b"access-control-request-method") is not None
    )


class CorsPolicy:
    """Which origins may read Penstock's own answers: none, some, or all of them with `*`."""

    def __init__(self, origins: Sequence[str]) -> None:
        self._for_any = _headers_for(ANY) if ANY in origins else NO_HEADERS
        self._by_origin = {origin.encode(): _headers_for(origin) for origin in origins if origin != ANY}

    @property
    def is_off(self) -> bool:
        """Whether no origin may."""
        return not self._for_any and not self._by_origin

    def headers_for(self, request: Headers) -> Headers:
        """The headers of any answer of Penstock to a request with these headers; the same list for the same origin."""
        origin = value_of(request, b"origin")
        return NO_HEADERS if origin is None else self._by_origin.get(origin, self._for_any)

    def preflight_reply(self, request: Headers) -> Reply:
        """The answer to a preflight for one of Penstock's routes; `headers_for` is added as to any other answer."""
        headers = [(b"cache-control", b"no-store"), (b"date", date(int(time())))]
        if self.headers_for(request):
            headers.append((b"access-control-allow-methods", METHODS))
            headers.append((b"access-control-max-age", str(MAX_AGE_S).encode()))
            names = value_of(request, b"access-control-request-headers")
            if names is not None and len(names) <= MAX_REQUESTED_BYTES and _NAMES.fullmatch(names):
                headers.append((b"access-control-allow-headers", names))
        return Reply(204, headers, b"")


def _headers_for(origin: str) -> Headers:
    headers = [
        (b"access-control-allow-origin", origin.encode()),
        (b"access-control-expose-headers", ", ".join(EXPOSED).encode()),
    ]
    if origin == ANY:
        return headers
    # A page that sends cookies to the app servers may read our answers too.
    return [*headers, (b"access-control-allow-credentials", b"true"), (b"vary", b"Origin")]
