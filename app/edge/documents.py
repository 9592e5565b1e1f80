"""What the routes below `/_penstock/` answer, for their OpenAPI document."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from app.jobs.model import JobStatus
from app.web.openapi import RETRY_AFTER, Responses, problems

ALWAYS = (400, 401, 422, 429, 503)
"""What any route may answer that asks who calls."""

_STATUS: dict[str, Any] = {
    "Penstock-Job-Status": {"schema": {"type": "string", "enum": [status.value for status in JobStatus]}}
}
_ANYTHING: dict[str, Any] = {"*/*": {}}
_WHILE_PENDING: dict[str, Any] = {name: header | {"required": False} for name, header in RETRY_AFTER.items()}


class StoredAnswer(BaseModel):
    """The app server's answer; not `stored`: it was too large to be kept."""

    status: int
    stored: bool


class Failure(BaseModel):
    """Why a job failed."""

    code: str
    message: str | None


class Links(BaseModel):
    """ClientAddresses of the job."""

    self: str
    response: str
    cancel: str
    events: str


class JobDocument(BaseModel):
    """Where a job stands."""

    id: str
    status: JobStatus
    position: int | None = Field(description="1 for the next to be sent; null unless queued.")
    eta_seconds: float | None = Field(description="Until it is sent.")
    eta_known: bool
    attempts: int
    rule_id: str
    submitted_at: str | None = Field(json_schema_extra={"format": "date-time"})
    started_at: str | None
    finished_at: str | None
    expires_at: str | None
    response: StoredAnswer | None
    error: Failure | None
    resourceLocation: str | None = Field(description="Where its response is, once it is final.")
    links: Links


class JobList(BaseModel):
    """The caller's own jobs, newest first."""

    jobs: list[JobDocument]
    next: str | None = Field(description="The address of the next page; null on the last.")


class Limit(BaseModel):
    """A rule that applies, and what is left of it."""

    rule_id: str
    limit: int
    window_seconds: float
    burst: int
    on_limit: Literal["reject", "defer"]
    remaining: int
    wait_seconds: float
    backlog: bool


class Limits(BaseModel):
    """One of each key type at most."""

    limits: list[Limit]


class Health(BaseModel):
    """Alive."""

    status: Literal["ok"]


class Readiness(BaseModel):
    """Whether the rules are known."""

    status: Literal["ready", "not ready"]
    rules_version: int | None


class KeySet(BaseModel):
    """A JSON Web Key Set (RFC 7517)."""

    keys: list[dict[str, str]]


def answers_job() -> Responses:
    """Of the route that says where a job stands."""
    return {200: {"headers": _WHILE_PENDING}, **problems(*ALWAYS, 404)}


def answers_response() -> Responses:
    """Of the route that gives the app server's answer as it was: any status and any type may be that."""
    ours = problems(*ALWAYS, 404, 410)
    for answer in ours.values():
        answer["content"] = answer["content"] | _ANYTHING
    ours[410] |= {"description": "The job was canceled, or its response is not kept.", "headers": _STATUS}
    return {
        200: {"description": "The app server's answer.", "headers": _STATUS, "content": _ANYTHING},
        202: {"model": JobDocument, "description": "The job is not final.", "headers": _STATUS | _WHILE_PENDING},
        **ours,
        502: problems(502)[502] | {"description": "The job failed; `error` says why.", "headers": _STATUS},
        "default": {"description": "The app server's answer.", "headers": _STATUS, "content": _ANYTHING},
    }
