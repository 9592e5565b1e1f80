"""A job: a deferred request, its status and its outcome."""

import secrets
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

import orjson


class JobStatus(StrEnum):
    """Where a job stands. `succeeded`: the app server answered, below 500 and not 429."""

    QUEUED = "queued"
    RUNNING = "running"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def final(self) -> bool:
        """Whether it can still change."""
        return self in {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELED}


Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """A request as it waits: the raw target and headers, credentials and hop-by-hop headers removed."""

    method: str
    target: bytes
    headers: Headers
    body: bytes
    subject: tuple[str, str] | None = None
    """The verified caller's (`iss`, `sub`), for `Penstock-Identity` at sending."""


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """An app server's answer, byte for byte; `body` is None where it was too large to keep."""

    status: int
    headers: Headers
    body: bytes | None


@dataclass(frozen=True, slots=True)
class Job:
    """A job as its owner sees it. Times are Unix milliseconds of the queue Redis."""

    id: str
    owner: str
    rule_id: str
    status: JobStatus
    attempts: int
    submitted_at_ms: int
    started_at_ms: int | None
    finished_at_ms: int | None
    expires_at_ms: int | None
    error_code: str | None
    error_message: str | None
    response_status: int | None
    response_stored: bool
    position: int | None
    """1 for the next to be sent; None unless queued."""
    eta_s: float | None
    """Seconds until it is sent; None where that is not known (paused, final)."""


def owner_of(issuer: str | None, subject: str | None) -> str:
    """Who may see a job: the token's (`iss`, `sub`) as a hash; empty for the anonymous, whose jobs are known by id alone."""
    if issuer is None or subject is None:
        return ""
    return sha256(f"{len(issuer)}:{issuer}{subject}".encode()).hexdigest()[:32]


def new_job_id(partition: int) -> str:
    """An unguessable id: 160 random bits, and the partition, which it names so that one look-up finds the job."""
    return f"{partition:x}-{secrets.token_hex(20)}"


def partition_of(job_id: str) -> int | None:
    """The partition that an id names; None for what cannot be an id."""
    prefix, separator, rest = job_id.partition("-")
    valid = separator and 1 <= len(prefix) <= 3 and len(rest) == 40 and set(prefix + rest) <= set("0123456789abcdef")
    return int(prefix, 16) if valid else None


def encode_request(request: StoredRequest) -> bytes:
    """Everything but the body, which is stored beside it."""
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers]
    return orjson.dumps([request.method, request.target.decode("latin-1"), headers, request.subject])


def decode_request(head: bytes, body: bytes) -> StoredRequest:
    """The inverse of `encode_request`."""
    method, target, headers, subject = orjson.loads(head)
    return StoredRequest(
        method, target.encode("latin-1"), _bytes(headers), body, tuple(subject) if subject is not None else None
    )


def encode_response(response: StoredResponse) -> bytes:
    """Everything but the body, which is stored beside it."""
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers]
    return orjson.dumps([response.status, headers])


def decode_response(head: bytes, body: bytes | None) -> StoredResponse:
    """The inverse of `encode_response`."""
    status, headers = orjson.loads(head)
    return StoredResponse(status, _bytes(headers), body)


def _bytes(headers: list[list[str]]) -> Headers:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
