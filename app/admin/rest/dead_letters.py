"""`/v1/dead-letters`: lists, shows, replays and deletes failed jobs that are kept."""

import base64
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.admin.operators import Role
from app.admin.rest.auth import AsOperator, AsViewer
from app.admin.rest.bodies import body_as
from app.admin.rest.dependencies import AdminParts, AdminPartsOf
from app.admin.rest.schemas import BODY_PROBLEMS, COMMON_PROBLEMS
from app.errors import Conflict, NotFound
from app.queue.operations import DeadLetter, DeadLetterDetails
from app.queue.rule_replay import CURSOR
from app.rules.active import ActiveRule
from app.rules.field_types import RuleId
from app.web.headers import Headers, without_credentials
from app.web.openapi import json_request, problems

router = APIRouter(prefix="/dead-letters", tags=["dead letters"])

MAX_PAGE_SIZE = 1000


class DeadLetterSelection(BaseModel):
    """Selects dead letters by their ids, or all dead letters of a rule."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"minProperties": 1})

    ids: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=MAX_PAGE_SIZE)] | None = None
    rule_id: RuleId | None = None
    after: Annotated[str, Field(pattern=CURSOR)] | None = Field(
        None, description="With `rule_id`: the `next` of the answer before."
    )

    @model_validator(mode="after")
    def _require_one_member(self) -> "DeadLetterSelection":
        if (self.ids is None) == (self.rule_id is None):
            raise ValueError("give either ids or rule_id")
        if self.after is not None and self.rule_id is None:
            raise ValueError("after: only with rule_id")
        return self


class FailureReason(BaseModel):
    """Why a job failed."""

    code: str
    message: str


class DeadLetterSummary(BaseModel):
    """One dead letter in a list. `response_status` is the status of the app server's last answer, if there was one."""

    id: str
    rule_id: str
    descriptor: str
    died_at: str | None
    attempts: int
    error: FailureReason
    response_status: int | None


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


class StoredResponseDocument(BaseModel):
    """The app server's last answer, without its cookies. `body` is null if it was too large to keep."""

    status: int
    headers: list[tuple[str, str]]
    body: str | None = Field(description="base64")
    body_text: str | None = Field(description="The body, where it is text in UTF-8; else null.")


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
    died_at: str | None
    expires_at: str | None
    request: StoredRequestDocument | None
    response: StoredResponseDocument | None


class Replayed(BaseModel):
    """How many dead letters were replayed."""

    replayed: int


class ManyReplayed(Replayed):
    """How many dead letters were replayed, and why the others were not, by id.

    `next` is the value of `after` with which to replay more of the rule; it is null once nothing is left.
    """

    problems: dict[str, str]
    next: str | None = None


SelectionBody = Annotated[DeadLetterSelection, Depends(body_as(DeadLetterSelection))]


@router.get("", response_model=DeadLetterPage, responses=problems(*COMMON_PROBLEMS, 404))
async def list_dead_letters(
    _: AsViewer,
    parts: AdminPartsOf,
    rule_id: RuleId | None = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE_SIZE)] = 100,
    after: Annotated[str, Query(max_length=64)] = "",
) -> dict[str, Any]:
    """List dead letters, newest first. `next` is the `after` of the next page, and null on the last page.

    A page may be short, and even empty, although others follow: one request looks at a bounded number of dead letters.
    """
    letters, after = await parts.operations.dead_letters(rule_id or "", limit, after)
    return {"dead_letters": [_summary(letter) for letter in letters], "next": after or None}


@router.get("/{job_id}", response_model=DeadLetterDocument, responses=problems(*COMMON_PROBLEMS, 404, 409))
async def get_dead_letter(job_id: str, operator: AsViewer, parts: AdminPartsOf) -> dict[str, Any]:
    """Show a dead letter: the error, the request and the app server's last answer. Bodies are base64.

    Request and answer are shown to operators and admins only, and stored credentials to nobody.
    """
    found = await parts.operations.dead_letter(job_id)
    if operator.role < Role.OPERATOR:
        return _document(found) | _NO_CONTENTS
    return _document(found) | _contents(found, parts.key_headers.names)


@router.post("/{job_id}/replay", status_code=202, responses=problems(*COMMON_PROBLEMS, 404, 409))
async def replay_dead_letter(job_id: str, _: AsOperator, parts: AdminPartsOf) -> Replayed:
    """Queue the job again at the end of its flow, with all of its attempts."""
    await _replay(parts, job_id)
    return Replayed(replayed=1)


@router.post(
    "/replay",
    status_code=202,
    responses=problems(*COMMON_PROBLEMS, 409, *BODY_PROBLEMS),
    openapi_extra=json_request(DeadLetterSelection.__name__),
)
async def replay_dead_letters(_: AsOperator, parts: AdminPartsOf, selection: SelectionBody) -> ManyReplayed:
    """Queue many jobs again. Jobs that are not dead letters are skipped and reported.

    With `rule_id` those of the rule are queued, the oldest first, at most 1000 in one request.
    """
    if selection.rule_id is not None:
        page = await parts.operations.replay_all(await _rule(parts, selection.rule_id), selection.after)
        return ManyReplayed(replayed=page.replayed, problems=page.problems, next=page.next)
    replayed = 0
    problem_by_id: dict[str, str] = {}
    for job_id in selection.ids or ():
        try:
            await _replay(parts, job_id)
            replayed += 1
        except (NotFound, Conflict) as error:
            problem_by_id[job_id] = str(error)
    return ManyReplayed(replayed=replayed, problems=problem_by_id)


@router.delete("/{job_id}", status_code=204, responses=problems(*COMMON_PROBLEMS, 404, 409))
async def delete_dead_letter(job_id: str, _: AsOperator, parts: AdminPartsOf) -> Response:
    """Delete a dead letter with everything that is stored of the job."""
    await parts.operations.discard(job_id)
    return Response(status_code=204)


async def _replay(parts: AdminParts, job_id: str) -> None:
    job = await parts.operations.failed_job(job_id)
    await parts.operations.replay(job_id, await _rule(parts, job.rule_id))


async def _rule(parts: AdminParts, rule_id: str) -> ActiveRule:
    """The rule as it is in force. Raises Conflict where it is not."""
    rule = await parts.rules_in_force.by_id(rule_id)
    if rule is None:
        raise Conflict(f"The rule {rule_id} is deleted or disabled or has no limit, so its jobs have no drain rate.")
    return rule


def _summary(letter: DeadLetter) -> dict[str, Any]:
    return {
        "id": letter.job_id,
        "rule_id": letter.rule_id,
        "descriptor": letter.descriptor,
        "died_at": _timestamp(letter.died_at_ms),
        "attempts": letter.attempts,
        "error": {"code": letter.code, "message": letter.message},
        "response_status": letter.response_status,
    }


def _document(found: DeadLetterDetails) -> dict[str, Any]:
    job = found.job
    return {
        "id": job.id,
        "rule_id": job.rule_id,
        "owner": job.owner or None,
        "attempts": job.attempts,
        "error": {"code": job.error_code, "message": job.error_message},
        "submitted_at": _timestamp(job.submitted_at_ms),
        "started_at": _timestamp(job.started_at_ms),
        "died_at": _timestamp(job.finished_at_ms),
        "expires_at": _timestamp(job.expires_at_ms),
    }


_NO_CONTENTS = {"request": None, "response": None}


def _contents(found: DeadLetterDetails, key_headers: Iterable[str] = ()) -> dict[str, Any]:
    request, response = found.request, found.response
    return {
        "request": request
        and {
            "caller": request.subject and {"issuer": request.subject[0], "subject": request.subject[1]},
            "method": request.method,
            "target": request.target.decode("latin-1"),
            "headers": _headers(request.headers, key_headers),
            "body": _base64(request.body),
            "body_text": _text(request.body),
        },
        "response": response
        and {
            "status": response.status,
            "headers": _headers(response.headers),
            "body": _base64(response.body),
            "body_text": _text(response.body),
        },
    }


def _headers(headers: Headers, secret: Iterable[str] = ()) -> list[list[str]]:
    """The headers that may be shown. Any header that a rule may count by can be somebody's secret."""
    return [[name.decode("latin-1"), value.decode("latin-1")] for name, value in without_credentials(headers, secret)]


def _base64(body: bytes | None) -> str | None:
    return None if body is None else base64.b64encode(body).decode()


def _text(body: bytes | None) -> str | None:
    """Return a body that a person can read."""
    try:
        text = (body or b"").decode()
    except UnicodeDecodeError:
        return None
    return text if body is not None and "\0" not in text else None


def _timestamp(unix_ms: int | None) -> str | None:
    return None if unix_ms is None else datetime.fromtimestamp(unix_ms / 1000, UTC).isoformat(timespec="milliseconds")
