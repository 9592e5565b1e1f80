"""The job model: a deferred request, its status and its outcome, and how requests and responses are encoded."""

import re
import secrets
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256
from typing import Any

import orjson

from app.web.headers import Headers

_JOB_ID = re.compile(r"([0-9a-f]{1,3})-[A-Za-z0-9_-]{22}")


class JobStatus(StrEnum):
    """The status of a job. `succeeded` means that the app server answered below 500 and not with 429."""

    QUEUED = "queued"
    RUNNING = "running"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def final(self) -> bool:
        """Whether the job has ended. Only a replay by an operator changes a final status."""
        return self in {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELED}


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """A deferred request: its raw target, its headers without hop-by-hop ones, and its body.

    Credentials are removed too, unless its rule keeps them.
    """

    method: str
    target: bytes
    headers: Headers
    body: bytes
    subject: tuple[str, str] | None = None
    """The verified caller's (`iss`, `sub`), for `Penstock-Identity` when the request is sent."""


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """An app server's answer. `body` is None where it was too large to keep."""

    status: int
    headers: Headers
    body: bytes | None


@dataclass(frozen=True, slots=True)
class Job:
    """A job as its owner sees it. Times are Unix milliseconds by the clock of the queue Redis."""

    id: str
    owner: str
    rule_id: str
    flow: str
    """The name of the flow that the job is, or was, in."""
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
    """The job's place in its flow, 1 for the next to be sent; None unless the job is queued."""
    eta_s: float | None
    """Seconds until the job is sent; None where that is not known, as for a paused rule or a final job."""
    waiting_for: str | None
    """The rule whose counter the job waits for; None unless the job is queued."""


@lru_cache(maxsize=4096)
def owner_of(issuer: str | None, subject: str | None) -> str:
    """The owner of a job: a hash of the token's (`iss`, `sub`), or an empty string without a token.

    Everyone who knows the id of a job without an owner may see it.
    """
    if issuer is None or subject is None:
        return ""
    return sha256(f"{len(issuer)}:{issuer}{subject}".encode()).hexdigest()[:32]


def new_job_id(partition: int) -> str:
    """A new job id: the partition that holds the job, in hexadecimal, and 128 random bits."""
    return f"{partition:x}-{secrets.token_urlsafe(16)}"


def is_job_id(job_id: str, partitions: int) -> bool:
    """Whether this can be the id of a job in a queue of that many partitions."""
    match = _JOB_ID.fullmatch(job_id)
    return match is not None and int(match[1], 16) < partitions


def partition_of_job(job_id: str) -> int:
    """The partition that holds a job. Raises ValueError for what is not a job's id: see `is_job_id`."""
    match = _JOB_ID.fullmatch(job_id)
    if match is None:
        raise ValueError(f"{job_id!r} is not a job's id")
    return int(match[1], 16)


def partition_of(job_id: str) -> int | None:
    """The partition that an id names; None for what cannot be an id."""
    match = _JOB_ID.fullmatch(job_id)
    return int(match[1], 16) if match else None


def encode_request(request: StoredRequest) -> bytes:
    """The stored form of a request: a line of JSON, then the body unchanged."""
    return _dump(
        [request.method, request.target.decode("latin-1"), _text(request.headers), request.subject], request.body
    )


def decode_request(stored: bytes) -> StoredRequest:
    """The inverse of `encode_request`."""
    (method, target, headers, subject), body = _load(stored)
    return StoredRequest(
        method, target.encode("latin-1"), _bytes(headers), body, tuple(subject) if subject is not None else None
    )


def encode_response(response: StoredResponse) -> bytes:
    """The stored form of a response: a line of JSON, then the body unchanged."""
    return _dump([response.status, _text(response.headers), response.body is not None], response.body or b"")


def decode_response(stored: bytes) -> StoredResponse:
    """The inverse of `encode_response`."""
    (status, headers, has_body), body = _load(stored)
    return StoredResponse(status, _bytes(headers), body if has_body else None)


def _dump(head: list[Any], body: bytes) -> bytes:
    return orjson.dumps(head) + b"\n" + body  # orjson writes no line feeds


def _load(stored: bytes) -> tuple[list[Any], bytes]:
    head, _, body = stored.partition(b"\n")
    return orjson.loads(head), body


def _text(headers: Headers) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]


def _bytes(headers: list[list[str]]) -> Headers:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
