"""`/v1/dead-letters`: failed jobs, kept: looked at, sent again, deleted."""

import base64
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.admin.auth import Drainer, Viewer
from app.admin.explain import rules_of
from app.errors import Conflict, NotFound
from app.jobs.model import Headers
from app.queue.operations import DeadLetter, DeadLetterDetails, Operations
from app.rules.cache import RuleCache

router = APIRouter(prefix="/dead-letters", tags=["dead letters"])

MOST_AT_ONCE = 1000


def operations_of(request: Request) -> Operations:
    """What `build_admin` was given."""
    operations: Operations = request.app.state.operations
    return operations


OperationsOf = Annotated[Operations, Depends(operations_of)]
RulesOf = Annotated[RuleCache, Depends(rules_of)]


class Which(BaseModel):
    """Some dead letters by their ids, or all of a rule."""

    model_config = ConfigDict(extra="forbid")

    ids: Annotated[list[str], Field(max_length=MOST_AT_ONCE)] | None = None
    rule_id: str | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> "Which":
        if (self.ids is None) == (self.rule_id is None):
            raise ValueError("say either ids or rule_id")
        return self


@router.get("")
async def list_dead_letters(
    operations: OperationsOf,
    _: Viewer,
    rule_id: str = "",
    limit: Annotated[int, Query(ge=1, le=MOST_AT_ONCE)] = 100,
    after: str = "",
) -> dict[str, Any]:
    """Newest first; `next` is the `after` of the next page, null on the last."""
    letters, after = await operations.dead_letters(rule_id, limit, after)
    return {"dead_letters": [_line(letter) for letter in letters], "next": after or None}


@router.get("/{job_id}")
async def get_dead_letter(job_id: str, operations: OperationsOf, _: Viewer) -> dict[str, Any]:
    """All of one: the reason, the request, the app server's last answer. Bodies are base64."""
    return _details(await operations.dead_letter(job_id))


@router.post("/{job_id}/replay", status_code=202)
async def replay_dead_letter(job_id: str, operations: OperationsOf, rules: RulesOf, _: Drainer) -> dict[str, Any]:
    """Send it again, as the last of its flow, with all its attempts."""
    await _replay(operations, rules, job_id)
    return {"replayed": 1}


@router.post("/replay", status_code=202)
async def replay_dead_letters(which: Which, operations: OperationsOf, rules: RulesOf, _: Drainer) -> dict[str, Any]:
    """Send many again, oldest first; those that are none any more are left out."""
    ids = which.ids if which.ids is not None else await _ids_of(operations, which.rule_id or "")
    replayed, problems = 0, {}
    for job_id in ids:
        try:
            await _replay(operations, rules, job_id)
            replayed += 1
        except (NotFound, Conflict) as error:
            problems[job_id] = str(error)
    return {"replayed": replayed, "problems": problems}


@router.delete("/{job_id}", status_code=204)
async def delete_dead_letter(job_id: str, operations: OperationsOf, _: Drainer) -> Response:
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
