"""Flows: what edges and workers do with them, each a transition of one Lua script."""

from dataclasses import dataclass
from typing import Protocol

from app.jobs.model import Job, StoredRequest, StoredResponse


@dataclass(frozen=True, slots=True)
class Deferral:
    """A request to be enqueued, with all that its flow must know."""

    rule_id: str
    descriptor: str
    charges: str
    """What each attempt costs, frozen (app/queue/charges.py)."""
    owner: str
    """Who may see the job; empty: whoever knows its id."""
    request: StoredRequest
    idempotency_key: str | None = None
    due_in_us: int = 0
    """When the flow may next be worth a look; the edge knows it from the refusal."""


@dataclass(frozen=True, slots=True)
class Enqueued:
    """An accepted job. `known`: the idempotency key had been used for the same request before."""

    job: Job
    flow_was_empty: bool
    known: bool = False


@dataclass(frozen=True, slots=True)
class Full:
    """A refused job: `depth` (flow full), `wait` (it would wait longer than allowed), `memory` (the queue Redis is full)."""

    reason: str


class JobStore(Protocol):
    """What the edge asks of the queue. Raises QueueUnavailable."""

    async def get(self, job_id: str) -> Job | None: ...  # noqa: D102
    async def response(self, job_id: str) -> StoredResponse | None: ...  # noqa: D102
    async def cancel(self, job_id: str) -> bool: ...  # noqa: D102
