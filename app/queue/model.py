"""What edges and workers exchange with the flows: plain values."""

from dataclasses import dataclass
from enum import StrEnum

from app.jobs.model import Job, JobStatus, StoredRequest, StoredResponse
from app.rules.active import ActiveRule


@dataclass(frozen=True, slots=True)
class FrozenCharge:
    """What an attempt of a job costs one rule's quota, as decided when it was deferred."""

    rule_id: str
    descriptor: str
    cost: int


@dataclass(frozen=True, slots=True)
class Deferral:
    """A request to be enqueued, with all that its flow must know."""

    rule: ActiveRule
    """The rule that deferred it; with the descriptor it names the flow."""
    descriptor: str
    charges: tuple[FrozenCharge, ...]
    """What each attempt costs, the flow's own rule first."""
    owner: str
    """Who may see the job; empty: whoever knows its id."""
    request: StoredRequest
    idempotency_key: str | None = None
    seal: bool = False
    """Store it encrypted: it holds credentials."""
    due_in_us: int = 0
    """When the flow may next be worth a look; the edge knows it from the refusal."""


@dataclass(frozen=True, slots=True)
class Enqueued:
    """An accepted job. `known`: the idempotency key had been used for the same request before."""

    job: Job
    flow_was_empty: bool
    known: bool = False


class FullReason(StrEnum):
    """Why a job was not accepted."""

    DEPTH = "depth"
    """The flow has `queue.max_depth` jobs."""
    WAIT = "wait"
    """It would wait longer than `queue.max_wait_seconds`."""
    MEMORY = "memory"
    """The queue Redis is over its share of memory."""


@dataclass(frozen=True, slots=True)
class Full:
    """A refused job, and how long until it may be worth trying again."""

    reason: FullReason
    retry_after_s: int


@dataclass(frozen=True, slots=True)
class TakenFlow:
    """A flow that this worker holds for a flow-lease. `run`: how many jobs at its head cost the same."""

    name: str
    rule_id: str
    token: str
    same_cost: int
    charges: str
    depth: int
    due_at_s: float
    """Since when it was due, by the event loop's clock: its turn, if it can't be served now."""

    @property
    def descriptor(self) -> str:
        """Whom the flow is about."""
        return self.name.partition("|")[2]


@dataclass(frozen=True, slots=True)
class LeasedJob:
    """A job that this worker may send. `lease` is compared when its outcome is stored."""

    id: str
    lease: str
    attempt: int
    max_attempts: int
    request: StoredRequest


@dataclass(frozen=True, slots=True)
class Lease:
    """The jobs leased, and what stands at the flow's head after them."""

    jobs: tuple[LeasedJob, ...]
    depth: int
    same_cost: int
    charges: str


@dataclass(frozen=True, slots=True)
class Settlement:
    """The final outcome of one attempt."""

    job: LeasedJob
    status: JobStatus
    code: str = ""
    message: str = ""
    response: StoredResponse | None = None
