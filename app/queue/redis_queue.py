"""The default job queue: the edge enqueues straight into the flows in the queue Redis."""

from collections.abc import Coroutine
from typing import Any, Self

from redis.asyncio import Redis

from app.jobs.model import Job, StoredRequest
from app.queue.flows import Flows
from app.queue.model import Deferral, Enqueued, Full
from app.redis_wire.scripts import Scripts
from app.settings import Settings


class RedisQueue:
    """A JobQueue without a broker."""

    def __init__(self, flows: Flows) -> None:
        self._flows = flows

    @classmethod
    def of(cls, redis: Redis, scripts: Scripts, settings: Settings) -> Self:
        """A queue on the queue Redis."""
        return cls(Flows(redis, scripts, settings))

    # These two return the coroutines of the flows themselves: one that awaited them would add its cost to each request.

    def enqueue(self, deferral: Deferral) -> Coroutine[Any, Any, Enqueued | Full]:
        """Store a request as a job. Raises IdempotencyConflict and QueueUnavailable."""
        return self._flows.enqueue(deferral)

    def find_by_idempotency_key(
        self, flows: list[tuple[str, str]], owner: str, key: str, request: StoredRequest | None
    ) -> Coroutine[Any, Any, Job | None]:
        """The job that this owner's key stands for. Raises IdempotencyConflict and QueueUnavailable."""
        return self._flows.find_by_idempotency_key(flows, owner, key, request)

    async def run(self) -> None:
        """Return at once: there is no broker to keep in touch with."""
