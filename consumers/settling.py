"""Settling: stores final outcomes in batches. Outcomes that arrive while a batch is stored form the next batch."""

import asyncio
from collections import deque

from app.errors import QueueUnavailable
from app.queue.flows import Flows
from app.queue.model import Settlement

MAX_BATCH = 100

_Waiting = tuple[Settlement, "asyncio.Future[bool]"]


class Settling:
    """Stores the outcomes of many jobs with one round trip and one write to disk."""

    def __init__(self, flows: Flows) -> None:
        self._flows = flows
        self._waiting: deque[_Waiting] = deque()
        self._storing: asyncio.Task[None] | None = None

    def settle(self, settlement: Settlement) -> "asyncio.Future[bool]":
        """Store one outcome; the result is False if the job's lease was lost. Raises QueueUnavailable."""
        stored: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((settlement, stored))
        if self._storing is None:
            self._storing = asyncio.create_task(self._store_all())
        return stored

    async def _store_all(self) -> None:
        try:
            while self._waiting:
                await self._store(self._next_batch())
        finally:
            self._storing = None

    def _next_batch(self) -> list[_Waiting]:
        """Take the oldest outcome and those directly behind it that belong to the same partition."""
        partition = _partition(self._waiting[0])
        batch: list[_Waiting] = []
        while self._waiting and len(batch) < MAX_BATCH and _partition(self._waiting[0]) == partition:
            batch.append(self._waiting.popleft())
        return batch

    async def _store(self, batch: list[_Waiting]) -> None:
        try:
            results = await self._flows.settle([settlement for settlement, _ in batch])
        except Exception as error:  # of any kind, because every caller must be woken
            for _, stored in batch:
                if not stored.done():
                    stored.set_exception(QueueUnavailable(str(error)) if isinstance(error, QueueUnavailable) else error)
            return
        for (_, stored), result in zip(batch, results, strict=True):
            if not stored.done():
                stored.set_result(result)


def _partition(waiting: _Waiting) -> str:
    return waiting[0].job.id.partition("-")[0]
