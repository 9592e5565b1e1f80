"""What edges and workers exchange with the flows: plain values."""

from dataclasses import dataclass
from enum import StrEnum

from app.jobs.model import Job, JobStatus, StoredRequest, StoredResponse
from app.limiter.policy import Charge
from app.queue.flow_name import encode_costs, flow_name, own_rule, own_rule_id
from app.rules.active import ActiveRule


@dataclass(frozen=True, slots=True)
class FrozenCharge:
    """What an attempt of a job costs one rule's quota, as decided when the job was deferred."""

    rule_id: str
    descriptor: str
    cost: int


@dataclass(frozen=True, slots=True)
class Deferral:
    """A request to be enqueued, with all that its flow must know."""

    rule: ActiveRule
    """The rule that deferred it."""
    charges: tuple[FrozenCharge, ...]
    """What each attempt costs, the deferring rule first."""
    owner: str
    """Who may see the job; empty: whoever knows its id."""
    request: StoredRequest
    caller: str = ""
    """The descriptor of the caller, `user:alice` or `ip:192.0.2.1`: callers have flows of their own."""
    idempotency_key: str | None = None
    seal: bool = False
    """Store it encrypted: it holds credentials."""
    due_in_us: int = 0
    """When the flow may next be worth a look; the edge knows it from the refusal."""
    interval_us: int = 0
    """How long each job takes at the limit that refused, where that is another than the rule's highest rate; else 0."""

    @property
    def flow(self) -> str:
        """The name of the flow that the job joins."""
        return flow_name([(charge.rule_id, charge.descriptor) for charge in self.charges], self.caller)

    @property
    def costs(self) -> str:
        """What the job costs, as its flow's FIFO has it."""
        return encode_costs([charge.cost for charge in self.charges])


@dataclass(frozen=True, slots=True)
class Enqueued:
    """An accepted job. `known`: the idempotency key had been used for the same request before.

    `at_us`: when the job was stored, by the queue's clock.
    """

    job: Job
    flow_was_empty: bool
    known: bool = False
    at_us: int = 0


class FullReason(StrEnum):
    """Why a job was not accepted."""

    DEPTH = "depth"
    """The flow has `queue.max_depth` jobs."""
    BYTES = "bytes"
    """The requests of the flow have `queue.max_bytes` bytes."""
    WAIT = "wait"
    """The job would wait longer than `queue.max_wait_seconds`."""
    MEMORY = "memory"
    """The queue Redis is over its share of memory."""


@dataclass(frozen=True, slots=True)
class Full:
    """A refused job, and how long until it may be worth trying again."""

    reason: FullReason
    retry_after_s: int


@dataclass(frozen=True, slots=True)
class FlowHead:
    """What waits in a flow. `same_cost`: how many of its next jobs cost the same, and `costs` is what they cost."""

    name: str
    depth: int
    same_cost: int
    costs: str

    @property
    def rule_id(self) -> str:
        """The rule that deferred the flow's jobs."""
        return own_rule_id(self.name)

    @property
    def descriptor(self) -> str:
        """Who is counted by that rule."""
        return own_rule(self.name).descriptor


@dataclass(frozen=True, slots=True)
class TakenFlow:
    """A flow that this worker holds for a flow lease."""

    head: FlowHead
    token: str
    due_at_s: float
    """Since when the flow was due, in times of `time.monotonic`: its turn, if it can't be served now."""
    at_us: int
    """When it was taken, by the queue's clock."""

    @property
    def name(self) -> str:
        """The flow's name."""
        return self.head.name

    @property
    def rule_id(self) -> str:
        """The rule that deferred the flow's jobs."""
        return self.head.rule_id


@dataclass(frozen=True, slots=True)
class TakenRing:
    """Flows that take turns because they wait for the same counter; this worker holds all of them.

    `heads` are the next ones to have their turn; `size` is how many there are. The flows are of one partition, whatever
    that of a flow would be which had this counter as its own.
    """

    partition: int
    name: str
    token: str
    due_at_s: float
    at_us: int
    size: int
    heads: tuple[FlowHead, ...]

    @property
    def counter(self) -> str:
        """The counter that the flows wait for, `<rule id>|<descriptor>`."""
        return self.name.removeprefix("~")


@dataclass(frozen=True, slots=True)
class LeasedJob:
    """A job that this worker may send. `lease` is compared when its outcome is stored.

    `corrected`: what the attempt was charged, where the answer may state what it has really cost.
    """

    id: str
    flow: str
    lease: str
    attempt: int
    max_attempts: int
    request: StoredRequest
    corrected: tuple[Charge, ...] = ()


@dataclass(frozen=True, slots=True)
class Wait:
    """How long until a flow is worth a look, for which counter it waits, and how long a job takes there.

    `counter` is `<rule id>|<descriptor>`, empty if it waits for none. `for_place`: it waits until another request is no
    longer in flight, which may be sooner. `revision` is that of the counter's rule as whoever says this knew it, None
    where it does not matter: a flow is looked at again soon if the queue knows a later one.
    """

    wait_us: int
    counter: str = ""
    interval_us: int = 0
    for_place: bool = False
    revision: int | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """What happens to a flow of a ring: `n` of its jobs are leased, or it waits for another counter from now on."""

    flow: str
    n: int
    costs: str
    elsewhere: Wait | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """The jobs leased, and what waits after them: in the flow, or in the next flows of a ring.

    `must_take_turns`: others wait for a counter of the flow. `at_us`: when, by the queue's clock.
    """

    jobs: tuple[LeasedJob, ...]
    heads: tuple[FlowHead, ...]
    must_take_turns: bool
    at_us: int

    @property
    def head(self) -> FlowHead:
        """What waits in the flow; only for a lease of a flow."""
        return self.heads[0]


@dataclass(frozen=True, slots=True)
class Settlement:
    """The final outcome of one attempt."""

    job: LeasedJob
    status: JobStatus
    code: str = ""
    message: str = ""
    response: StoredResponse | None = None
    took_ms: int | None = None
    """How long the request took; None where none was sent."""
