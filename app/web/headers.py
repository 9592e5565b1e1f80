"""Which headers are passed on between clients, jobs and app servers. Pure functions; all names are in lower case."""

from collections.abc import Iterable, Sequence
from random import getrandbits

Headers = list[tuple[bytes, bytes]]
"""Header fields in their order; the names are in lower case, the values unchanged."""

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"expect",  # the edge itself sends `100 Continue`
        b"http2-settings",  # belongs to an offer of HTTP/2 (RFC 7540, 3.2.1)
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)  # RFC 9110, 7.6.1; `Proxy-Authorization` and `Proxy-Authenticate` are removed from requests only
CREDENTIALS = frozenset({b"authorization", b"cookie", b"proxy-authorization", b"x-api-key"})
_NEVER_SHOWN = CREDENTIALS | {b"set-cookie", b"set-cookie2"}
_NOT_FORWARDED = HOP_BY_HOP | {b"proxy-authorization", b"proxy-authenticate", b"x-real-ip"}
FROM_PROXIES = frozenset(
    {
        b"cf-connecting-ip",
        b"cf-connecting-ipv6",
        b"client-ip",
        b"do-connecting-ip",
        b"fastly-client-ip",
        b"fly-client-ip",
        b"forwarded",
        b"forwarded-for",
        b"proxy-client-ip",
        b"true-client-ip",
        b"wl-proxy-client-ip",
        b"x-appengine-user-ip",
        b"x-azure-clientip",
        b"x-azure-socketip",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"x-envoy-external-address",
        b"x-original-forwarded-for",
        b"x-original-host",
        b"x-original-url",
        b"x-originating-ip",
        b"x-remote-addr",
        b"x-remote-ip",
        b"x-rewrite-url",
    }
)
"""Besides `X-Forwarded-*`, what proxies write and app servers believe: who the client is, and what it asked for."""

_COMMON = frozenset(
    {
        b"accept",
        b"accept-encoding",
        b"accept-language",
        b"authorization",
        b"cache-control",
        b"content-length",
        b"content-type",
        b"cookie",
        b"host",
        b"origin",
        b"referer",
        b"user-agent",
    }
)
"""Passed on without further checks if the request has no `Connection` header that names other headers."""

_CONNECTION_OPTIONS = frozenset({b"close", b"keep-alive", b""})
_NONE: frozenset[bytes] = frozenset()
_ALWAYS_END_TO_END = frozenset({b"host", b"content-length"})  # even if a `Connection` header names them
_RESERVED_IN_RESPONSES = (b"ratelimit", b"penstock-")


def value_of(headers: Headers, name: bytes) -> bytes | None:
    """The first value of a header, or None."""
    for found, value in headers:
        if found == name:
            return value
    return None


def to_upstream(headers: Headers, *, client: str, scheme: str, trusted: bool, client_ip: str = "") -> Headers:
    """The headers that the app server receives for a client's request.

    `client` is the address of the peer. If it is a trusted proxy (`trusted`), its forwarding headers are kept.
    `client_ip` becomes `X-Real-IP`.
    """
    named = _named_by_connection(headers)
    kept: Headers = []
    forwarded_for: list[bytes] = []
    host = proto = forwarded_host = request_id = None
    for field in headers:
        name, value = field
        if not ((name in _COMMON and not named) or _may_pass(name, named, trusted)):
            continue
        if name == b"x-forwarded-for":
            forwarded_for.append(value)
            continue
        if name == b"host":
            host = value
        elif name == b"x-forwarded-proto":
            proto = value
        elif name == b"x-forwarded-host":
            forwarded_host = value
        elif name == b"x-request-id":
            request_id = value
        kept.append(field)
    if client_ip:
        kept.append((b"x-real-ip", client_ip.encode()))
    kept.append((b"x-forwarded-for", b", ".join([*forwarded_for, client.encode()])))
    if proto is None:
        kept.append((b"x-forwarded-proto", scheme.encode()))
    if forwarded_host is None:
        kept.append((b"x-forwarded-host", host or b""))
    if request_id is None:
        kept.append((b"x-request-id", b"%032x" % getrandbits(128)))  # an id only: it need not be unpredictable
    return kept


def _may_pass(name: bytes, named: frozenset[bytes], trusted: bool) -> bool:
    """Whether a header is passed on. Some app servers read `_` as `-`, so reserved names are removed in both forms."""
    dashed = name.replace(b"_", b"-")
    if dashed in _NOT_FORWARDED or (dashed == b"content-length" and dashed != name):
        return False
    if dashed.startswith(b"penstock-"):
        return name == b"penstock-callback" and name not in named
    if dashed in FROM_PROXIES or dashed.startswith(b"x-forwarded"):
        return trusted and dashed == name  # even if a `Connection` header names it
    return name not in named or name in _ALWAYS_END_TO_END


def to_store(
    headers: Headers, drop: Iterable[str], *, keep_credentials: bool = False, secret: Iterable[str] = ()
) -> Headers:
    """The headers of a request that are stored with a job: without credentials unless `keep_credentials` is set.

    `secret`: further headers that are credentials.
    """
    dropped = {name.lower().replace("_", "-").encode() for name in drop} | {b"content-length"}
    if not keep_credentials:
        dropped |= CREDENTIALS | {name.encode() for name in secret}
    return [field for field in headers if field[0].replace(b"_", b"-") not in dropped]


def holds_credentials(headers: Headers, secret: Iterable[str]) -> bool:
    """Whether a stored request holds any of the headers that only `keep_credentials` keeps, or one of `secret`."""
    credentials = CREDENTIALS | {name.encode() for name in secret}
    return any(name.replace(b"_", b"-") in credentials for name, _ in headers)


def without_credentials(headers: Headers, secret: Iterable[str] = ()) -> Headers:
    """The headers of a stored request or response as they may be shown to operators: without the caller's credentials,
    without the headers in `secret`, and without the cookies that an app server set.
    """
    never = _NEVER_SHOWN | {name.encode() for name in secret}
    return [field for field in headers if field[0].lower().replace(b"_", b"-") not in never]


def for_delivery(stored: Headers, job_id: str, attempt: int, identity: bytes | None) -> Headers:
    """The headers with which a job is sent to the app server."""
    headers = [*stored, (b"penstock-job-id", job_id.encode()), (b"penstock-attempt", str(attempt).encode())]
    return headers if identity is None else [*headers, (b"penstock-identity", identity)]


def from_upstream(headers: Headers) -> Headers:
    """The headers that the client receives for an app server's response: no hop-by-hop and no reserved ones."""
    kept = [
        field for field in headers if field[0] not in HOP_BY_HOP and not field[0].startswith(_RESERVED_IN_RESPONSES)
    ]
    if len(kept) < len(headers) and (named := _named_by_connection(headers)):
        return [field for field in kept if field[0] not in named]
    return kept


def _named_by_connection(headers: Sequence[tuple[bytes, bytes]]) -> frozenset[bytes]:
    named = _NONE
    for name, value in headers:
        if name == b"connection" and (options := value.lower()) not in _CONNECTION_OPTIONS:
            named |= {token.strip() for token in options.split(b",")}
    return named - _CONNECTION_OPTIONS if named else named
