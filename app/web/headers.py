"""HTTP headers on their way through: pure functions over lists of bytes, names in lower case."""

from collections.abc import Iterable, Sequence
from random import getrandbits

Headers = list[tuple[bytes, bytes]]
"""Header fields in order, names in lower case, values as they came."""

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"expect",  # answered by the edge itself
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)  # RFC 9110, 7.6.1; `Proxy-Authorization` and `Proxy-Authenticate` are between the client and us
CREDENTIALS = frozenset({b"authorization", b"cookie", b"proxy-authorization", b"x-api-key"})
_ENDS_HERE = HOP_BY_HOP | {b"proxy-authorization", b"proxy-authenticate"}
_PLAIN = frozenset(
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
"""Passed on without another look, where no `Connection` names any header."""

_SAID_OF_ITSELF = frozenset({b"close", b"keep-alive", b""})
_NONE: frozenset[bytes] = frozenset()
_NEVER_HOP_BY_HOP = frozenset({b"host", b"content-length"})  # a `Connection` that names them is no reason to lose them
_OURS_IN_ANSWERS = (b"ratelimit", b"penstock-")


def value_of(headers: Headers, name: bytes) -> bytes | None:
    """The first value of a header."""
    for found, value in headers:
        if found == name:
            return value
    return None


def to_upstream(headers: Headers, *, client: str, scheme: str, trusted: bool) -> Headers:
    """A client's headers as the app server gets them.

    `client`: the address that speaks to us; `trusted`: whether it is a trusted proxy, whose forwarding headers count.
    """
    named = _named_by_connection(headers)
    kept: Headers = []
    forwarded_for: list[bytes] = []
    host = proto = forwarded_host = request_id = None
    for field in headers:
        name, value = field
        if not ((name in _PLAIN and not named) or _may_pass(name, named, trusted)):
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
    kept.append((b"x-forwarded-for", b", ".join([*forwarded_for, client.encode()])))
    if proto is None:
        kept.append((b"x-forwarded-proto", scheme.encode()))
    if forwarded_host is None:
        kept.append((b"x-forwarded-host", host or b""))
    if request_id is None:
        kept.append((b"x-request-id", b"%032x" % getrandbits(128)))  # nothing is to be guessed by it
    return kept


def _may_pass(name: bytes, named: frozenset[bytes], trusted: bool) -> bool:
    """Some app servers read `_` as `-`: what is ours alone to say is removed in that spelling too."""
    dashed = name.replace(b"_", b"-")
    if dashed in _ENDS_HERE or (dashed == b"content-length" and dashed != name):
        return False
    if dashed.startswith(b"penstock-"):
        return name == b"penstock-callback" and name not in named
    if dashed == b"forwarded" or dashed.startswith(b"x-forwarded-"):
        return trusted and dashed == name  # not even `Connection` takes from a chain of proxies
    return name not in named or name in _NEVER_HOP_BY_HOP


def to_store(headers: Headers, drop: Iterable[str], *, keep_credentials: bool = False) -> Headers:
    """What of an app server's request is kept with a job: no credential of the caller, unless it is encrypted."""
    dropped = (frozenset() if keep_credentials else CREDENTIALS) | {name.lower().encode() for name in drop}
    return [(name, value) for name, value in headers if name not in dropped and name != b"content-length"]


def drained(stored: Headers, job_id: str, attempt: int, identity: bytes | None) -> Headers:
    """The headers with which a job is sent."""
    headers = [*stored, (b"penstock-job-id", job_id.encode()), (b"penstock-attempt", str(attempt).encode())]
    return headers if identity is None else [*headers, (b"penstock-identity", identity)]


def from_upstream(headers: Headers) -> Headers:
    """An app server's answer as the client gets it: without what is between it and us, or ours alone to say."""
    kept = [field for field in headers if field[0] not in HOP_BY_HOP and not field[0].startswith(_OURS_IN_ANSWERS)]
    if len(kept) < len(headers) and (named := _named_by_connection(headers)):
        return [field for field in kept if field[0] not in named]
    return kept


def _named_by_connection(headers: Sequence[tuple[bytes, bytes]]) -> frozenset[bytes]:
    named = _NONE
    for name, value in headers:
        if name == b"connection" and (said := value.lower()) not in _SAID_OF_ITSELF:
            named |= {token.strip() for token in said.split(b",")}
    return named - _SAID_OF_ITSELF if named else named
