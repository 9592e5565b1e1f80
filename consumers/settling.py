"""Settling: outcomes are stored together; those that come while some are being stored are the next to go."""

import asyncio
from collections import deque

from app.errors import QueueUnavailable
from app.queue.flows import Flows
from app.queue.model import Settlement

MOST_AT_ONCE = 100

_Waiting = tuple[Settlement, "asyncio.Future[bool]"]


class Settling:
    """One round trip, and one write to disk, for many jobs."""

    def __init__(self, flows: Flows) -> None:
        self._flows = flows
        self._waiting: deque[_Waiting] = deque()
        self._storing: asyncio.Task[None] | None = None

    def settle(self, settlement: Settlement) -> "asyncio.Future[bool]":
        """Store one outcome; False where someone else holds the job meanwhile. Raises QueueUnavailable."""
        stored: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((settlement, stored))
        if self._storing is None:
            self._storing = asyncio.create_task(self._store_all())
        return stored

    async def _store_all(self) -> None:
        try:
            while self._waiting:
                await self._store(self._next())
        finally:
            self._storing = None

    def _next(self) -> list[_Waiting]:
        """The longest waiting, and others of its partition."""
        partition = _partition(self._waiting[0])
        taken: list[_Waiting] = []
        while self._waiting and len(taken) < MOST_AT_ONCE and _partition(self._waiting[0]) == partition:
            taken.append(self._waiting.popleft())
        return taken

    async def _store(self, taken: list[_Waiting]) -> None:
        try:
            results = await self._flows.settle([settlement for settlement, _ in taken])
        except Exception as error:  # whatever it is: those who wait must not wait for ever
            for _, stored in taken:
                if not stored.done():
                    stored.set_exception(QueueUnavailable(str(error)) if isinstance(error, QueueUnavailable) else error)
            return
        for (_, stored), result in zip(taken, results, strict=True):
            if not stored.done():
                stored.set_result(result)


def _partition(waiting: _Waiting) -> str:
    return waiting[0].job.id.partition("-")[0]
