"""Does operations, batch by batch, in each admin process. One that ends is replaced by another within seconds."""

import asyncio
import contextlib
import secrets
import time

import structlog

from app.admin.services.operation_kinds import Kinds
from app.admin.services.operation_store import OperationStore
from app.admin.services.operations_model import Operation, OperationState
from app.admin.services.pace import Pace
from app.errors import Unavailable
from app.queue.batches import Batch, BatchResult

log = structlog.get_logger()

MAX_AT_ONCE = 4
"""How many operations one process does at a time."""

LOOK_INTERVAL_S = 1.0
"""How often a process looks for operations that nobody does."""

RETRY_INTERVAL_S = 1.0
MAX_RULES = 64
"""How many rules a batch is given: those that the latest batches needed."""


class OperationRunner:
    """Takes leases on operations, and does a bounded number of them at a time."""

    def __init__(self, store: OperationStore, kinds: Kinds) -> None:
        self._store = store
        self._kinds = kinds
        self._holder = secrets.token_hex(8)
        self._running: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        self._finishing = asyncio.Event()
        self._trouble: str | None = None

    def wake(self) -> None:
        """Look for operations now: one has been added or canceled."""
        self._woken.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Take operations and do them, until `stop` is set."""
        while not stop.is_set():
            self._woken.clear()
            try:
                await self._store.prepare()
                await self._take()
                self._trouble = None
            except Unavailable as error:
                self._report(error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), LOOK_INTERVAL_S)

    async def finish(self) -> None:
        """End the batches that are under way, and give the leases back, so that others can go on at once."""
        self._finishing.set()
        await asyncio.gather(*self._running)

    def _report(self, error: Unavailable) -> None:
        if self._trouble is None:
            log.warning("operations_unavailable", error=str(error))
        self._trouble = str(error)

    async def _take(self) -> None:
        while len(self._running) < MAX_AT_ONCE:
            operation = await self._store.claim(self._holder)
            if operation is None:
                return
            task = asyncio.create_task(self._run(operation))
            self._running.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._woken.set()

    async def _run(self, operation: Operation) -> None:
        log.info("operation_taken", id=operation.id, kind=operation.kind, done=operation.done)
        run = OperationRun(self._store, self._kinds, self._holder, operation)
        try:
            await run.until_ended(self._finishing)
        except Exception as error:
            log.exception("operation_crashed", id=operation.id)
            with contextlib.suppress(Unavailable):
                await run.fail(f"{type(error).__name__}: {error}")


class OperationRun:
    """Does the batches of one operation for as long as this process holds its lease."""

    def __init__(self, store: OperationStore, kinds: Kinds, holder: str, operation: Operation) -> None:
        self._store = store
        self._kind = kinds[operation.kind]
        self._holder = holder
        self._operation = operation
        self._pace = Pace(operation.rate_per_s)
        self._rule_ids = [rule_id for rule_id in (operation.filter.rule_id,) if rule_id is not None]

    async def until_ended(self, stop: asyncio.Event) -> None:
        """Go on until the operation has ended, its lease is lost, or `stop` is set."""
        while not stop.is_set():
            began_s = time.monotonic()
            try:
                result = await self._next_batch()
            except Unavailable as error:
                if not await self._wait_out(error, stop):
                    return
                continue
            if result is None:
                return
            ended_s = time.monotonic()
            pause_s = self._pace.next_after(began_s, ended_s, result.touched, result.looked_at) - ended_s
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), max(0.0, pause_s))
        with contextlib.suppress(Unavailable):
            await self._store.release(self._operation, self._holder)

    async def fail(self, why: str) -> None:
        """End the operation because of a bug."""
        await self._store.end(self._operation, self._holder, BatchResult(0, 0, 0, None), OperationState.FAILED, why)

    async def _next_batch(self) -> BatchResult | None:
        """Do the next batch and write what it has done. None: there is none, or another process does it."""
        operation = self._operation
        is_canceled = operation.state is OperationState.CANCELING
        # A canceled operation does an empty batch, so that no process which believes that it holds the lease does more.
        limit = 0 if is_canceled else min(self._kind.max_batch, self._pace.batch_size)
        result = await self._kind.do(operation, Batch(operation.id, operation.batch + 1, limit), self._rule_ids)
        if result is None:
            return None
        self._need(result.needs)
        if is_canceled or result.next is None:
            await self._end(result, OperationState.CANCELED if is_canceled else OperationState.COMPLETED)
            return None
        following = await self._store.advance(operation, self._holder, result)
        if following is None:
            return None
        self._operation = following
        return result

    async def _end(self, result: BatchResult, state: OperationState) -> None:
        await self._store.end(self._operation, self._holder, result, state)
        done = self._operation.done + result.done
        log.info("operation_ended", id=self._operation.id, kind=self._operation.kind, state=state.value, done=done)

    def _need(self, rule_id: str) -> None:
        if rule_id:
            self._rule_ids = [*[one for one in self._rule_ids if one != rule_id][1 - MAX_RULES :], rule_id]

    async def _wait_out(self, error: Unavailable, stop: asyncio.Event) -> bool:
        """Wait a little until the stores are back, and keep the lease. Returns whether it is not lost."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), RETRY_INTERVAL_S)
        try:
            kept = await self._store.renew(self._operation, self._holder, str(error))
        except Unavailable:
            return True  # nobody else can take it either
        if kept is not None:
            self._operation = kept
        return kept is not None
