"""The JSON documents of the routes below `/_penstock/`, as their OpenAPI description shows them."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from app.jobs.model import JobStatus
from app.rules.model import Action
from app.web.openapi import RETRY_AFTER, Responses, problems

ALWAYS = (400, 401, 422, 429, 503)
"""The statuses that any route may answer that authenticates its caller."""

_STATUS: dict[str, Any] = {
    "Penstock-Job-Status": {"schema": {"type": "string", "enum": [status.value for status in JobStatus]}}
}
_ANYTHING: dict[str, Any] = {"*/*": {}}
_WHILE_PENDING: dict[str, Any] = {name: header | {"required": False} for name, header in RETRY_AFTER.items()}


class StoredAnswer(BaseModel):
    """The app server's response; `stored` is false if it was too large to keep."""

    status: int
    stored: bool


class JobFailure(BaseModel):
    """The reason why a job failed."""

    code: str
    message: str | None


class Links(BaseModel):
    """The URLs of a job."""

    self: str
    response: str
    cancel: str


class JobDocument(BaseModel):
    """A job with its status, position and ETA."""

    id: str
    status: JobStatus
    position: int | None = Field(description="1 for the next to be sent; null unless queued.")
    eta_seconds: float | None = Field(description="Seconds until it is sent; null if that is not known.")
    eta_known: bool
    waiting_for: str | None = Field(description="The rule whose counter it waits for; null unless queued.")
    attempts: int
    rule_id: str
    submitted_at: str | None = Field(json_schema_extra={"format": "date-time"})
    started_at: str | None
    finished_at: str | None
    expires_at: str | None
    response: StoredAnswer | None
    error: JobFailure | None
    resourceLocation: str | None = Field(description="The URL of its response, once the job is final.")
    links: Links


class JobList(BaseModel):
    """The caller's own jobs, newest first."""

    jobs: list[JobDocument]
    next: str | None = Field(description="The address of the next page; null on the last.")


class Limit(BaseModel):
    """A limit of a rule that applies to the caller, and what is left of it; a rule that blocks or allows has none."""

    rule_id: str
    action: Action
    policy: str | None = Field(default=None, description="The name of the limit in `RateLimit-Policy`.")
    limit: int | None = None
    window_seconds: float | None = None
    headroom_ms: int | None = Field(default=None, description="How much longer the window counts.")
    burst: int | None = None
    algorithm: str | None = None
    cost: int | None = Field(
        default=None, description="Units that a request takes; with a cost header, one that states the same cost."
    )
    on_limit: Literal["reject", "defer"] | None = None
    remaining: int | None = None
    in_flight: int | None = Field(default=None, description="Requests in flight, where their number is limited.")
    wait_seconds: float | None = None
    backlog: bool | None = None


class Limits(BaseModel):
    """The limits of the rules that apply to the caller, at most one rule of each key type."""

    limits: list[Limit]


class Health(BaseModel):
    """The process is alive."""

    status: Literal["ok"]


class Readiness(BaseModel):
    """Whether the edge can serve: it knows the rules and is not shutting down."""

    status: Literal["ready", "not ready"]
    rules_version: int | None
    down: list[str] = Field(description="What `penstock up` knows to be down on this machine, and why.")


class KeySet(BaseModel):
    """A JSON Web Key Set (RFC 7517)."""

    keys: list[dict[str, str]]


def answers_job() -> Responses:
    """The responses of the route that shows a job."""
    return {200: {"headers": _WHILE_PENDING}, **problems(*ALWAYS, 404)}


def answers_response() -> Responses:
    """The responses of the route that replays an app server's response, which may have any status and content type."""
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
