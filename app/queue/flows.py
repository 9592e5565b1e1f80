"""Flows: what edges and workers do with them, each a transition of one Lua script."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from app.jobs.model import Job, StoredRequest
from app.rules.active import ActiveRule


@dataclass(frozen=True, slots=True)
class Deferral:
    """A request to be enqueued, with all that its flow must know."""

    rule: ActiveRule
    """The rule that deferred it; with the descriptor it names the flow."""
    descriptor: str
    charges: tuple["FrozenCharge", ...]
    """What each attempt costs, the flow's own rule first."""
    owner: str
    """Who may see the job; empty: whoever knows its id."""
    request: StoredRequest
    idempotency_key: str | None = None
    due_in_us: int = 0
    """When the flow may next be worth a look; the edge knows it from the refusal."""


@dataclass(frozen=True, slots=True)
class FrozenCharge:
    """What an attempt of a job costs one rule's quota, as decided when it was deferred."""

    rule_id: str
    descriptor: str
    cost: int


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


class Enqueue(Protocol):
    """What the edge asks of the flows."""

    async def enqueue(self, deferral: Deferral) -> Enqueued | Full:
        """Store a request durably; raises QueueUnavailable, IdempotencyConflict."""
        ...

    async def known(self, flows: list[tuple[str, str]], owner: str, key: str, request: StoredRequest) -> Job | None:
        """The job that an idempotency key of this owner stands for, in any of these flows (rule id, descriptor)."""
        ...
