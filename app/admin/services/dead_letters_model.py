"""Dead letters as operators see them."""

import base64
from collections.abc import Collection
from typing import Self

from pydantic import BaseModel, Field

from app.jobs.model import StoredRequest, StoredResponse
from app.queue.dead_letters import DeadLetter, DeadLetterDetails
from app.web.headers import Headers, without_credentials
from app.web.timestamps import timestamp_text


class FailureReason(BaseModel):
    """Why a job failed."""

    code: str
    message: str


class DeadLetterSummary(BaseModel):
    """One dead letter in a list. `response_status` is the status of the app server's last answer, if there was one."""

    id: str
    rule_id: str
    descriptor: str
    failed_at: str | None
    attempts: int
    error: FailureReason
    response_status: int | None

    @classmethod
    def of(cls, letter: DeadLetter) -> Self:
        """Return what a list shows of a dead letter."""
        return cls(
            id=letter.job_id,
            rule_id=letter.rule_id,
            descriptor=letter.descriptor,
            failed_at=timestamp_text(letter.failed_at_ms),
            attempts=letter.attempts,
            error=FailureReason(code=letter.code, message=letter.message),
            response_status=letter.response_status,
        )


class DeadLetterPage(BaseModel):
    """A page, newest first. `next` is the value of `after` for the next page; it is null on the last page."""

    dead_letters: list[DeadLetterSummary]
    next: str | None


class StoredCaller(BaseModel):
    """The verified caller of a request: `iss` and `sub` of the token."""

    issuer: str
    subject: str


class StoredRequestDocument(BaseModel):
    """The request as it was stored, without credentials. `caller` is null if there was no token."""

    caller: StoredCaller | None
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: str = Field(description="base64")
    body_text: str | None = Field(description="The body, where it is text in UTF-8; else null.")

    @classmethod
    def of(cls, request: StoredRequest, secret_headers: Collection[str]) -> Self:
        """Return what operators may see of a request. Any header that a rule may count by can be somebody's secret."""
        return cls(
            caller=request.subject and StoredCaller(issuer=request.subject[0], subject=request.subject[1]),
            method=request.method,
            target=request.target.decode("latin-1"),
            headers=_headers(request.headers, secret_headers),
            body=base64.b64encode(request.body).decode(),
            body_text=_text(request.body),
        )


class StoredResponseDocument(BaseModel):
    """The app server's last answer, without its cookies. `body` is null if it was too large to keep."""

    status: int
    headers: list[tuple[str, str]]
    body: str | None = Field(description="base64")
    body_text: str | None = Field(description="The body, where it is text in UTF-8; else null.")

    @classmethod
    def of(cls, response: StoredResponse) -> Self:
        """Return what operators may see of a response."""
        return cls(
            status=response.status,
            headers=_headers(response.headers),
            body=None if response.body is None else base64.b64encode(response.body).decode(),
            body_text=None if response.body is None else _text(response.body),
        )


class DeadLetterDocument(BaseModel):
    """A dead letter with its request and response. Both are null for a viewer, who may not see contents.

    `request` is also null if this process lacks the key to decrypt it.
    """

    id: str
    rule_id: str
    owner: str | None
    attempts: int
    error: FailureReason
    submitted_at: str | None
    started_at: str | None
    failed_at: str | None
    expires_at: str | None
    request: StoredRequestDocument | None = None
    response: StoredResponseDocument | None = None

    @classmethod
    def of(cls, found: DeadLetterDetails, contents: bool, secret_headers: Collection[str]) -> Self:
        """Return a dead letter, with its request and response if `contents` is true."""
        job, request, response = found.job, found.request, found.response
        return cls(
            id=job.id,
            rule_id=job.rule_id,
            owner=job.owner or None,
            attempts=job.attempts,
            error=FailureReason(code=job.error_code or "", message=job.error_message or ""),
            submitted_at=timestamp_text(job.submitted_at_ms),
            started_at=timestamp_text(job.started_at_ms),
            failed_at=timestamp_text(job.finished_at_ms),
            expires_at=timestamp_text(job.expires_at_ms),
            request=StoredRequestDocument.of(request, secret_headers) if contents and request else None,
            response=StoredResponseDocument.of(response) if contents and response else None,
        )


class Replayed(BaseModel):
    """How many dead letters were replayed."""

    replayed: int


class ManyReplayed(Replayed):
    """How many dead letters were replayed, and why the others were not, by id.

    `next` is the value of `after` with which to replay more of the rule; it is null once nothing is left.
    """

    problems: dict[str, str]
    next: str | None = None


def _headers(headers: Headers, secret: Collection[str] = ()) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in without_credentials(headers, secret)]


def _text(body: bytes) -> str | None:
    """Return a body that a person can read."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text
