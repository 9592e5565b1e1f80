"""Operations as operators start and see them: work on all that a filter finds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, RootModel, model_validator

from app.queue.batches import Count
from app.queue.dead_letter_filter import DeadLetterFilter
from app.rules.field_types import INTEGRAL, RuleId, StrictModel
from app.web.timestamps import Timestamp

DEFAULT_RATE_PER_S = 500
MAX_RATE_PER_S = 5000

KindName = Literal["replay_dead_letters", "delete_dead_letters", "purge_jobs", "cancel_jobs"]
Rate = Annotated[int, Field(ge=1, le=MAX_RATE_PER_S), INTEGRAL]


class OperationState(StrEnum):
    """How an operation is. It has ended once it is completed, canceled or failed."""

    PENDING = "pending"
    RUNNING = "running"
    CANCELING = "canceling"
    COMPLETED = "completed"
    CANCELED = "canceled"
    FAILED = "failed"


ACTIVE = (OperationState.PENDING, OperationState.RUNNING, OperationState.CANCELING)


class WaitingJobsFilter(StrictModel):
    """Selects jobs that wait to be sent, those that back off too."""

    rule_id: RuleId
    """The rule that deferred the job. It may be gone."""


class JobsToCancel(StrictModel):
    """Selects jobs that wait to be sent, those that back off too; each has all that is named, and something must be."""

    rule_id: RuleId | None = None
    """The rule that deferred the job. It may be gone."""
    descriptor: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    """Who calls, or who is counted by a rule of the job."""
    flow: Annotated[str, Field(min_length=1, max_length=8192)] | None = None
    """The id of a flow."""
    owner: Annotated[str, Field(pattern="^[0-9a-f]{32}$")] | None = None
    submitted_after: Timestamp | None = None
    submitted_before: Timestamp | None = None

    @model_validator(mode="after")
    def _require_one_name(self) -> Self:
        if (self.rule_id, self.descriptor, self.flow, self.owner) == (None, None, None, None):
            raise ValueError("name a rule_id, descriptor, flow or owner")
        return self


OperationFilter = DeadLetterFilter | WaitingJobsFilter | JobsToCancel


class _NewOperation(StrictModel):
    dry_run: bool = False
    """Only count what would be touched."""
    rate_per_s: Rate = DEFAULT_RATE_PER_S
    """How many jobs a second are touched at most."""


class DeadLetterOperation(_NewOperation):
    """Replays or deletes all dead letters that a filter finds, the oldest first."""

    kind: Literal["replay_dead_letters", "delete_dead_letters"]
    filter: DeadLetterFilter


class PurgeOperation(_NewOperation):
    """Cancels all jobs of a rule that wait to be sent."""

    kind: Literal["purge_jobs"]
    filter: WaitingJobsFilter


class CancelOperation(_NewOperation):
    """Cancels all jobs that a filter finds and that wait to be sent."""

    kind: Literal["cancel_jobs"]
    filter: JobsToCancel


NewOperation = DeadLetterOperation | PurgeOperation | CancelOperation


class OperationRequest(RootModel[Annotated[NewOperation, Field(discriminator="kind")]]):
    """What to do, and with what."""


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation as it is stored. `until_us`, by the clock of the queue Redis: what came later is not part of it.

    `batch` is the number of the last batch that was done, `cursor` where the next one begins. `candidates` are those
    that are looked at, whether or not the filter finds them.
    """

    id: str
    kind: KindName
    filter: OperationFilter
    rate_per_s: int
    state: OperationState
    started_by: str
    created_at: datetime
    until_us: int
    candidates: int
    total: int
    total_is_exact: bool
    total_estimate: int
    started_at: datetime | None = None
    ended_at: datetime | None = None
    canceled_by: str | None = None
    batch: int = 0
    cursor: str | None = None
    done: int = 0
    skipped: int = 0
    looked_at: int = 0
    errors: Mapping[str, int] = field(default_factory=dict)
    problem: str | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more is done."""
        return self.state not in ACTIVE


class OperationTotal(BaseModel):
    """How many jobs the filter finds. Only a bounded number is looked at: beyond that the number is an estimate."""

    at_least: int
    estimate: int
    is_exact: bool

    @classmethod
    def of(cls, count: Count) -> Self:
        """Return what a count says."""
        return cls(at_least=count.found, estimate=count.estimate, is_exact=count.is_exact)


class DryRun(BaseModel):
    """What an operation would touch. Nothing was done."""

    kind: KindName
    filter: dict[str, Any]
    dry_run: Literal[True] = True
    total: OperationTotal


class OperationDocument(BaseModel):
    """An operation and how far it has come."""

    id: str
    kind: KindName
    filter: dict[str, Any]
    state: OperationState
    total: OperationTotal = Field(description="As it was counted at the beginning.")
    progress: float = Field(ge=0, le=1, description="The share of what has been looked at.")
    done: int = Field(description="How many jobs were replayed, deleted or canceled.")
    skipped: int = Field(description="How many were gone already.")
    errors: dict[str, int] = Field(description="How many could not be touched, by the reason.")
    rate_per_s: int = Field(description="How many jobs a second are touched at most.")
    actual_rate_per_s: float | None = Field(description="How many were touched each second, as a mean.")
    started_by: str
    canceled_by: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    problem: str | None = Field(description="What keeps it from going on, or made it fail.")

    @classmethod
    def of(cls, operation: Operation, now: datetime) -> Self:
        """Return what operators see of an operation."""
        return cls(
            id=operation.id,
            kind=operation.kind,
            filter=filter_document(operation.filter),
            state=operation.state,
            total=OperationTotal(
                at_least=operation.total, estimate=operation.total_estimate, is_exact=operation.total_is_exact
            ),
            progress=_progress(operation),
            done=operation.done,
            skipped=operation.skipped,
            errors=dict(operation.errors),
            rate_per_s=operation.rate_per_s,
            actual_rate_per_s=_actual_rate(operation, now),
            started_by=operation.started_by,
            canceled_by=operation.canceled_by,
            created_at=operation.created_at,
            started_at=operation.started_at,
            ended_at=operation.ended_at,
            problem=operation.problem,
        )


class OperationPage(BaseModel):
    """Operations, newest first. `next` is the value of `after` for the next page; it is null on the last page."""

    operations: list[OperationDocument]
    next: str | None


def filter_document(wanted: OperationFilter) -> dict[str, Any]:
    """Return a filter as JSON, with what it names."""
    return wanted.model_dump(mode="json", exclude_none=True)


def filter_of_kind(kind: str, fields: Mapping[str, Any]) -> OperationFilter:
    """Read what `filter_document` wrote. Raises ValueError, and TypeError where it is no filter."""
    if kind == "cancel_jobs":
        return JobsToCancel(**fields)
    return WaitingJobsFilter(**fields) if kind == "purge_jobs" else DeadLetterFilter(**fields)


def _progress(operation: Operation) -> float:
    if operation.state is OperationState.COMPLETED:
        return 1.0
    return min(1.0, operation.looked_at / operation.candidates) if operation.candidates else 0.0


def _actual_rate(operation: Operation, now: datetime) -> float | None:
    if operation.started_at is None:
        return None
    seconds = ((operation.ended_at or now) - operation.started_at).total_seconds()
    touched = operation.done + sum(operation.errors.values())
    return round(touched / seconds, 1) if seconds > 0 else None
