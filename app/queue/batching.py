"""Batching: what is asked for in one turn of the event loop goes out in one call."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Batcher(Generic[T, R]):
    """Collects items until the event loop has run what is ready, then handles them `limit` at a time.

    An item may be large: a batch ends before it would weigh more than `max_weight`, unless it is a single item. If a
    batch fails, each of its items raises the error. An item whose caller is cancelled is handled all the same.
    """

    def __init__(
        self,
        handle: Callable[[Sequence[T]], Awaitable[Sequence[R]]],
        limit: int,
        weigh: Callable[[T], int],
        max_weight: int,
    ) -> None:
        self._handle = handle
        self._limit = limit
        self._weigh = weigh
        self._max_weight = max_weight
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def submit(self, item: T) -> "asyncio.Future[R]":
        """Handle an item together with the others of this turn; the result is the item's own."""
        loop = asyncio.get_running_loop()
        result: asyncio.Future[R] = loop.create_future()
        self._waiting.append((item, result))
        if len(self._waiting) == 1:
            loop.call_soon(self._flush)
        return result

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        batch: list[tuple[T, asyncio.Future[R]]] = []
        weight = 0
        for one in waiting:
            item_weight = self._weigh(one[0])
            if batch and (len(batch) == self._limit or weight + item_weight > self._max_weight):
                self._start(batch)
                batch, weight = [], 0
            batch.append(one)
            weight += item_weight
        self._start(batch)

    def _start(self, batch: list[tuple[T, "asyncio.Future[R]"]]) -> None:
        task = asyncio.get_running_loop().create_task(self._run(batch))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, batch: list[tuple[T, "asyncio.Future[R]"]]) -> None:
        try:
            results = await self._handle([item for item, _ in batch])
        except Exception as error:
            for _, result in batch:
                if not result.done():
                    result.set_exception(error)
            return
        for (_, result), value in zip(batch, results, strict=True):
            if not result.done():
                result.set_result(value)
