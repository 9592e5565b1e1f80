"""The interface of a job queue: where an edge puts the requests that it defers."""

from typing import Protocol

from app.jobs.model import Job, StoredRequest
from app.queue.model import Deferral, Enqueued, Full


class IdempotencyIndex(Protocol):
    """Finds jobs by their idempotency keys."""

    async def find_by_idempotency_key(
        self, flows: list[tuple[str, str]], owner: str, key: str, request: StoredRequest | None
    ) -> Job | None:
        """The job that this owner's key stands for in any of these flows, each a (rule id, descriptor).

        Raises IdempotencyConflict where the key was used for a different request (None differs from every request), and
        QueueUnavailable.
        """


class JobQueue(IdempotencyIndex, Protocol):
    """Stores deferred requests durably. Each kind of queue implements it and is registered in app/queue/brokers.py."""

    async def enqueue(self, deferral: Deferral) -> Enqueued | Full:
        """Store a request as a job. Raises IdempotencyConflict, BodyTooLarge and QueueUnavailable."""

    async def run(self) -> None:
        """Do whatever the queue needs beside its calls, such as keeping a connection to a broker.

        It runs until it is cancelled, or returns when the queue needs nothing. Raises StartupError.
        """
