"""Where an edge puts what it defers: straight into the flows, or by way of Kafka."""

from typing import Protocol

from app.jobs.model import Job, StoredRequest
from app.queue.model import Deferral, Enqueued, Full


class JobQueue(Protocol):
    """Both raise QueueUnavailable where it can't be reached, and IdempotencyConflict."""

    async def enqueue(self, deferral: Deferral) -> Enqueued | Full:
        """Store a request durably."""

    async def find_by_idempotency_key(
        self, flows: list[tuple[str, str]], owner: str, key: str, request: StoredRequest | None
    ) -> Job | None:
        """The job that an idempotency key of this owner stands for, in any of these flows (rule id, descriptor)."""
