"""HTTP headers on their way through: pure functions over lists of bytes, names in lower case."""

import secrets
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from app.jobs.model import Headers

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
LONGEST_RETRY_AFTER_S = 3600.0
_ENDS_HERE = HOP_BY_HOP | {b"proxy-authorization", b"proxy-authenticate"}
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
    kept = [(name, value) for name, value in headers if _may_pass(name, named, trusted)]
    forwarded_for = [value for name, value in kept if name == b"x-forwarded-for"]
    kept = [(name, value) for name, value in kept if name != b"x-forwarded-for"]
    kept.append((b"x-forwarded-for", b", ".join([*forwarded_for, client.encode()])))
    present = {name for name, _ in kept}
    if b"x-forwarded-proto" not in present:
        kept.append((b"x-forwarded-proto", scheme.encode()))
    if b"x-forwarded-host" not in present:
        kept.append((b"x-forwarded-host", value_of(headers, b"host") or b""))
    if b"x-request-id" not in present:
        kept.append((b"x-request-id", secrets.token_hex(16).encode()))
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


def from_upstream(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """An app server's answer as the client gets it: without what is between it and us, or ours alone to say."""
    lowered = [(name.lower(), value) for name, value in headers]
    named = HOP_BY_HOP | _named_by_connection(lowered)
    return [field for field in lowered if field[0] not in named and not field[0].startswith(_OURS_IN_ANSWERS)]


def _named_by_connection(headers: Sequence[tuple[bytes, bytes]]) -> frozenset[bytes]:
    return frozenset(
        token.strip().lower() for name, value in headers if name == b"connection" for token in value.split(b",")
    )


def retry_after_s(headers: Iterable[tuple[bytes, bytes]]) -> float:
    """What an app server's `Retry-After` asks for, an hour at most; 0 where it asks for nothing that is understood."""
    for name, value in headers:
        if name.lower() == b"retry-after":
            return min(LONGEST_RETRY_AFTER_S, max(0.0, _seconds(value.strip())))
    return 0.0


def _seconds(value: bytes) -> float:
    if value.isdigit():
        return float(value[:9])
    try:
        return (parsedate_to_datetime(value.decode("latin-1")) - datetime.now(UTC)).total_seconds()
    except (TypeError, ValueError):  # no date, or one without a zone
        return 0.0
