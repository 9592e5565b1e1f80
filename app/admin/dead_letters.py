"""`/v1/dead-letters`: failed jobs, kept: looked at, sent again, deleted."""

import base64
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from fastapi import Request as HttpRequest
from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.admin.auth import Drainer, Viewer
from app.admin.bodies import body_as
from app.admin.explain import rules_of
from app.admin.schemas import ALWAYS, WITH_BODY
from app.errors import Conflict, NotFound
from app.queue.operations import DeadLetter, DeadLetterDetails, Operations
from app.rules.cache import RuleCache
from app.rules.model import RuleId
from app.web.headers import Headers
from app.web.openapi import json_request, problems

router = APIRouter(prefix="/dead-letters", tags=["dead letters"])

MOST_AT_ONCE = 1000


def operations_of(request: HttpRequest) -> Operations:
    """What `build_admin` was given."""
    operations: Operations = request.app.state.operations
    return operations


OperationsOf = Annotated[Operations, Depends(operations_of)]
RulesOf = Annotated[RuleCache, Depends(rules_of)]


class Which(BaseModel):
    """Some dead letters by their ids, or all of a rule."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"minProperties": 1})

    ids: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=MOST_AT_ONCE)] | None = None
    rule_id: RuleId | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> "Which":
        if (self.ids is None) == (self.rule_id is None):
            raise ValueError("say either ids or rule_id")
        return self


class Failure(BaseModel):
    """Why a job ended."""

    code: str
    message: str


class DeadLetterSummary(BaseModel):
    """One dead letter of the list. `response_status`: the app server's last answer."""

    id: str
    rule_id: str
    descriptor: str
    died_at: str | None
    attempts: int
    error: Failure
    response_status: int | None


class DeadLetterPage(BaseModel):
    """Newest first; `next` is the `after` of the next page, null on the last."""

    dead_letters: list[DeadLetterSummary]
    next: str | None


class StoredRequestDocument(BaseModel):
    """The request as it waited."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: str = Field(description="base64")


class StoredResponseDocument(BaseModel):
    """The app server's last answer; null: too large to be kept."""

    status: int
    headers: list[tuple[str, str]]
    body: str | None = Field(description="base64")


class Details(BaseModel):
    """All of one; no `request`: it can't be read, for it was encrypted with a key that is not here."""

    id: str
    rule_id: str
    owner: str | None
    attempts: int
    error: Failure
    submitted_at: str | None
    started_at: str | None
    died_at: str | None
    expires_at: str | None
    request: StoredRequestDocument | None
    response: StoredResponseDocument | None


class Replayed(BaseModel):
    """How many."""

    replayed: int


class ManyReplayed(Replayed):
    """And why the others were not, by id."""

    problems: dict[str, str]


WhichOf = Annotated[Which, Depends(body_as(Which))]


@router.get("", response_model=DeadLetterPage, responses=problems(*ALWAYS, 404))
async def list_dead_letters(
    _: Viewer,
    operations: OperationsOf,
    rule_id: RuleId | None = None,
    limit: Annotated[int, Query(ge=1, le=MOST_AT_ONCE)] = 100,
    after: Annotated[str, Query(max_length=64)] = "",
) -> dict[str, Any]:
    """Newest first; `next` is the `after` of the next page, null on the last."""
    letters, after = await operations.dead_letters(rule_id or "", limit, after)
    return {"dead_letters": [_line(letter) for letter in letters], "next": after or None}


@router.get("/{job_id}", response_model=Details, responses=problems(*ALWAYS, 404, 409))
async def get_dead_letter(job_id: str, _: Viewer, operations: OperationsOf) -> dict[str, Any]:
    """All of one: the reason, the request, the app server's last answer. Bodies are base64."""
    return _details(await operations.dead_letter(job_id))


@router.post("/{job_id}/replay", status_code=202, responses=problems(*ALWAYS, 404, 409))
async def replay_dead_letter(job_id: str, _: Drainer, operations: OperationsOf, rules: RulesOf) -> Replayed:
    """Send it again, as the last of its flow, with all its attempts."""
    await _replay(operations, rules, job_id)
    return Replayed(replayed=1)


@router.post(
    "/replay",
    status_code=202,
    responses=problems(*ALWAYS, *WITH_BODY),
    openapi_extra=json_request(Which.__name__),
)
async def replay_dead_letters(_: Drainer, operations: OperationsOf, rules: RulesOf, which: WhichOf) -> ManyReplayed:
    """Send many again, oldest first; those that are none any more are left out."""
    ids = which.ids if which.ids is not None else await _ids_of(operations, which.rule_id or "")
    replayed = 0
    unsent: dict[str, str] = {}
    for job_id in ids:
        try:
            await _replay(operations, rules, job_id)
            replayed += 1
        except (NotFound, Conflict) as error:
            unsent[job_id] = str(error)
    return ManyReplayed(replayed=replayed, problems=unsent)


@router.delete("/{job_id}", status_code=204, responses=problems(*ALWAYS, 404, 409))
async def delete_dead_letter(job_id: str, _: Drainer, operations: OperationsOf) -> Response:
    """Forget it, and all that is kept of it."""
    await operations.discard(job_id)
    return Response(status_code=204)


async def _replay(operations: Operations, rules: RuleCache, job_id: str) -> None:
    job = (await operations.dead_letter(job_id)).job
    rule = await rules.by_id(job.rule_id)
    if rule is None:
        raise Conflict(f"The rule {job.rule_id} is deleted or disabled: nothing says how fast to send its jobs.")
    await operations.replay(job_id, rule)


async def _ids_of(operations: Operations, rule_id: str) -> list[str]:
    ids: list[str] = []
    after = ""
    while True:
        letters, after = await operations.dead_letters(rule_id, MOST_AT_ONCE, after)
        ids += [letter.job_id for letter in letters]
        if not after:
            return ids[::-1]


def _line(letter: DeadLetter) -> dict[str, Any]:
    return {
        "id": letter.job_id,
        "rule_id": letter.rule_id,
        "descriptor": letter.descriptor,
        "died_at": _time(letter.died_at_ms),
        "attempts": letter.attempts,
        "error": {"code": letter.code, "message": letter.message},
        "response_status": letter.response_status,
    }


def _details(found: DeadLetterDetails) -> dict[str, Any]:
    job, request, response = found.job, found.request, found.response
    return {
        "id": job.id,
        "rule_id": job.rule_id,
        "owner": job.owner or None,
        "attempts": job.attempts,
        "error": {"code": job.error_code, "message": job.error_message},
        "submitted_at": _time(job.submitted_at_ms),
        "started_at": _time(job.started_at_ms),
        "died_at": _time(job.finished_at_ms),
        "expires_at": _time(job.expires_at_ms),
        "request": request
        and {
            "method": request.method,
            "target": request.target.decode("latin-1"),
            "headers": _headers(request.headers),
            "body": _text(request.body),
        },
        "response": response
        and {"status": response.status, "headers": _headers(response.headers), "body": _text(response.body)},
    }


def _headers(headers: Headers) -> list[list[str]]:
    return [[name.decode("latin-1"), value.decode("latin-1")] for name, value in headers]


def _text(body: bytes | None) -> str | None:
    return None if body is None else base64.b64encode(body).decode()


def _time(unix_ms: int | None) -> str | None:
    return None if unix_ms is None else datetime.fromtimestamp(unix_ms / 1000, UTC).isoformat(timespec="milliseconds")
