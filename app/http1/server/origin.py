"""The origin of a request as its client sees it: scheme and host, also behind a trusted proxy."""

from collections.abc import Mapping
from typing import Any

from app.http1.server.head import HOST

_SCHEMES = (b"http", b"https")


def origin_of(scope: Mapping[str, Any], trusted: bool) -> str:
    """Return scheme and host of a request. `trusted`: its peer is a trusted proxy, whose report of them is believed.

    Of several values that proxies have written, the client's comes first.
    """
    scheme: bytes = scope["scheme"].encode()
    host = reported_host = b""
    for name, value in scope["headers"]:
        if name == b"host":
            host = value
        elif trusted and name == b"x-forwarded-proto":
            proto = _first(value).lower()
            scheme = proto if proto in _SCHEMES else scheme
        elif trusted and name == b"x-forwarded-host" and not reported_host and HOST.fullmatch(_first(value)):
            reported_host = _first(value)
    return f"{scheme.decode()}://{(reported_host or host or b'localhost').decode('latin-1')}"


def _first(values: bytes) -> bytes:
    return values.partition(b",")[0].strip()
