"""Jobs as operators look for them and see them, by either face of the admin API."""

from collections.abc import Collection
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from app.admin.services.dead_letters_model import FailureReason, StoredRequestDocument, StoredResponseDocument
from app.errors import InvalidInput, NotFound
from app.jobs.model import Job, JobStatus, owner_of
from app.queue.flow_name import flow_id, flow_of_id, own_rule
from app.queue.job_details import Attempt, JobContents, JobDetails, Replay
from app.queue.job_filter import JobFilter
from app.queue.job_search import CURSOR
from app.queue.waiting import Explanation, WaitReason, why_waiting
from app.rules.field_types import RuleId
from app.web.timestamps import Timestamp, timestamp_text, unix_us

MAX_PAGE_SIZE = 500
MAX_FLOW_ID_LENGTH = 8192


class JobSelection(BaseModel):
    """Which jobs an operator means. A job must meet all criteria; both ends of a time count.

    An owner is named by the value that jobs have as `owner`, or by the `subject` of its token.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule_id: Annotated[RuleId | None, Field(description="The rule that deferred the job.")] = None
    descriptor: Annotated[
        str | None,
        Field(min_length=1, max_length=512, description="Who calls, or who is counted by a rule of the job."),
    ] = None
    flow: Annotated[
        str | None,
        Field(min_length=1, max_length=MAX_FLOW_ID_LENGTH, description="The id of a flow, as `/v1/flows` shows it."),
    ] = None
    owner: Annotated[str | None, Field(pattern="^[0-9a-f]{32}$")] = None
    subject: Annotated[str | None, Field(min_length=1, max_length=1024, description="The `sub` of the owner.")] = None
    issuer: Annotated[
        str | None, Field(max_length=1024, description="The `iss` of the owner. Default: PENSTOCK_JWT_ISSUER.")
    ] = None
    status: Annotated[list[JobStatus], Field(max_length=6, description="Any of these; none: every status.")] = []
    response_status: Annotated[
        int | None, Field(ge=100, le=599, description="The app server's status; of jobs that have ended only.")
    ] = None
    submitted_after: Timestamp | None = None
    submitted_before: Timestamp | None = None
    finished_after: Timestamp | None = None
    finished_before: Timestamp | None = None

    def as_filter(self, default_issuer: str | None) -> JobFilter:
        """Return the criteria as the queue has them. Raises InvalidInput for what is no id of a flow."""
        owner = self.owner
        if owner is None and self.subject is not None:
            owner = owner_of(self.issuer or default_issuer, self.subject)
        return JobFilter(
            rule_id=self.rule_id,
            descriptor=self.descriptor,
            flow=None if self.flow is None else _flow_of_id(self.flow),
            owner=owner,
            statuses=frozenset(self.status) or frozenset(JobStatus),
            response_status=self.response_status,
            submitted_from_ms=_unix_ms(self.submitted_after),
            submitted_to_ms=_unix_ms(self.submitted_before),
            finished_from_ms=_unix_ms(self.finished_after),
            finished_to_ms=_unix_ms(self.finished_before),
        )


class JobQuery(JobSelection):
    """Which jobs to list. `after` is the `next` of the page before."""

    limit: Annotated[int, Field(ge=1, le=MAX_PAGE_SIZE)] = 100
    after: Annotated[str | None, Field(pattern=CURSOR)] = None


class JobSummary(BaseModel):
    """One job in a list. `response_status` is of the app server's last answer, if there was one."""

    id: str
    rule_id: str
    descriptor: str
    flow: str = Field(description="The name of its flow: what it is charged for.")
    flow_id: str = Field(description="Names its flow in addresses, while the flow has jobs.")
    owner: str | None
    status: JobStatus
    attempts: int = Field(description="The attempts that count for `max_attempts`, since it was replayed last.")
    submitted_at: str | None
    started_at: str | None
    finished_at: str | None
    error: FailureReason | None
    response_status: int | None
    position: int | None = Field(description="Its place in its flow, 1 for the next to be sent; null elsewhere.")
    eta_seconds: float | None
    waiting_for: str | None = Field(description="The rule whose limit or drain rate it waits for.")

    @classmethod
    def of(cls, job: Job) -> Self:
        """Return what a list shows of a job."""
        return cls(**_summary(job))


class JobPage(BaseModel):
    """A page of jobs. `next` is the `after` of the next page; it is null on the last page."""

    jobs: list[JobSummary]
    next: str | None


class TimelineEventKind(StrEnum):
    """What happened to a job."""

    ACCEPTED = "accepted"
    ATTEMPT = "attempt"
    REPLAYED = "replayed"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


class TimelineEvent(BaseModel):
    """Something that happened to a job. Of an attempt, `at` is when the request was sent.

    A job that was replayed had `failed` before, and its attempts are numbered on.
    """

    event: TimelineEventKind
    at: str | None
    number: int | None = Field(None, description="Of an attempt: which of all, those too that did not count.")
    worker: str | None = None
    ended_at: str | None = Field(None, description="Of an attempt; null while it is in flight.")
    duration_ms: int | None = None
    response_status: int | None = Field(None, description="The app server's status, if it answered.")
    error_code: str | None = None


class WaitDocument(BaseModel):
    """Why a job waits."""

    reason: WaitReason
    detail: str = Field(description="The reason in words.")
    until: str | None = Field(description="When the reason ends; null where that is not known.")

    @classmethod
    def of(cls, wait: Explanation) -> Self:
        """Return the reason as operators see it."""
        return cls(reason=wait.reason, detail=wait.detail, until=timestamp_text(wait.until_ms))


class JobFlowDocument(BaseModel):
    """The flow of a job that has not ended."""

    name: str
    depth: int = Field(description="Its jobs that are not final.")
    bytes: int = Field(description="The size of their requests.")
    paused: bool


class JobContentsDocument(BaseModel):
    """What a job was sent and what came back, without credentials; null where it is not stored or cannot be read."""

    request: StoredRequestDocument | None
    response: StoredResponseDocument | None

    @classmethod
    def of(cls, contents: JobContents, secret_headers: Collection[str]) -> Self:
        """Return what operators may see of the contents."""
        request, response = contents
        return cls(
            request=None if request is None else StoredRequestDocument.of(request, secret_headers),
            response=None if response is None else StoredResponseDocument.of(response),
        )


class JobDocument(JobSummary):
    """A job with its timeline, the oldest event first, and why it waits.

    `contents` is null for a viewer, who may not see requests and responses, and where they were not asked for.
    """

    expires_at: str | None = Field(description="When its record goes; null while it has not ended.")
    wait: WaitDocument | None
    flow_state: JobFlowDocument | None
    earlier_attempts: int = Field(description="How many attempts there were before those in the timeline.")
    timeline: list[TimelineEvent]
    contents: JobContentsDocument | None

    @classmethod
    def of_details(cls, details: JobDetails, contents: JobContentsDocument | None) -> Self:
        """Return all that is known of a job."""
        job, flow, wait = details.job, details.flow, why_waiting(details)
        state = flow and JobFlowDocument(
            name=job.flow, depth=flow.open_jobs, bytes=flow.request_bytes, paused=flow.paused
        )
        return cls(
            **_summary(job),
            expires_at=timestamp_text(job.expires_at_ms),
            wait=None if wait is None else WaitDocument.of(wait),
            flow_state=state,
            earlier_attempts=details.attempts[0].number - 1 if details.attempts else 0,
            timeline=_timeline(details),
            contents=contents,
        )


def _summary(job: Job) -> dict[str, object]:
    error = None if job.error_code is None else FailureReason(code=job.error_code, message=job.error_message or "")
    return {
        "id": job.id,
        "rule_id": job.rule_id,
        "descriptor": own_rule(job.flow).descriptor,
        "flow": job.flow,
        "flow_id": flow_id(job.flow),
        "owner": job.owner or None,
        "status": job.status,
        "attempts": job.attempts,
        "submitted_at": timestamp_text(job.submitted_at_ms),
        "started_at": timestamp_text(job.started_at_ms),
        "finished_at": timestamp_text(job.finished_at_ms),
        "error": error,
        "response_status": job.response_status,
        "position": job.position,
        "eta_seconds": None if job.eta_s is None else round(job.eta_s, 3),
        "waiting_for": job.waiting_for,
    }


def _timeline(details: JobDetails) -> list[TimelineEvent]:
    job = details.job
    events = [TimelineEvent(event=TimelineEventKind.ACCEPTED, at=timestamp_text(job.submitted_at_ms))]
    replays = {replay.after_attempt: replay for replay in details.replays}
    events += _replayed(replays.get(0))
    for attempt in details.attempts:
        events += [_attempt(attempt), *_replayed(replays.get(attempt.number))]
    if job.status.final:
        kind, at = TimelineEventKind(job.status.value), timestamp_text(job.finished_at_ms)
        events.append(TimelineEvent(event=kind, at=at, response_status=job.response_status, error_code=job.error_code))
    return events


def _attempt(attempt: Attempt) -> TimelineEvent:
    ended_ms = attempt.ended_at_ms
    return TimelineEvent(
        event=TimelineEventKind.ATTEMPT,
        at=timestamp_text(attempt.started_at_ms),
        number=attempt.number,
        worker=attempt.worker,
        ended_at=timestamp_text(ended_ms),
        duration_ms=None if ended_ms is None else ended_ms - attempt.started_at_ms,
        response_status=attempt.response_status,
        error_code=attempt.code,
    )


def _replayed(replay: Replay | None) -> list[TimelineEvent]:
    """The end of the job before its replay, and the replay."""
    if replay is None:
        return []
    failed_at, at = timestamp_text(replay.failed_at_ms), timestamp_text(replay.replayed_at_ms)
    return [
        TimelineEvent(event=TimelineEventKind.FAILED, at=failed_at, error_code=replay.code),
        TimelineEvent(event=TimelineEventKind.REPLAYED, at=at),
    ]


def _flow_of_id(text: str) -> str:
    try:
        return flow_of_id(text)
    except NotFound as error:
        raise InvalidInput("flow: this is no id of a flow.") from error


def _unix_ms(time: datetime | None) -> int | None:
    return None if time is None else unix_us(time) // 1000
