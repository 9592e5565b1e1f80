"""The operation that cancels all jobs that a filter finds and that wait to be sent."""

from collections.abc import Sequence
from datetime import datetime
from typing import Self

from redis.asyncio import Redis

from app.admin.services.operations_model import JobsToCancel, Operation
from app.errors import InvalidInput, NotFound
from app.jobs.model import JobStatus
from app.queue.batches import Batch, BatchResult, Count
from app.queue.cancel_batches import MAX_CANCELED, CancelBatches
from app.queue.flow_name import flow_of_id
from app.queue.job_filter import JobFilter
from app.queue.job_search import JobSearch
from app.queue.records import Records
from app.redis_wire.scripts import Scripts
from app.settings import Settings
from app.web.timestamps import unix_us

WAITING = frozenset({JobStatus.QUEUED, JobStatus.RETRYING})
COUNTED_AT_ONCE = 500
MAX_COUNT_PAGES = 20
"""How many pages a count looks at; each takes a bounded number of steps of the search."""


class JobCancellation:
    """Cancels jobs page by page."""

    max_batch = MAX_CANCELED

    def __init__(self, search: JobSearch, batches: CancelBatches) -> None:
        self._search = search
        self._batches = batches

    @classmethod
    def on(cls, queue: Redis, scripts: Scripts, settings: Settings) -> Self:
        """Cancellation on a queue Redis."""
        records = Records(queue, scripts, settings)
        return cls(JobSearch(queue, scripts, records, settings), CancelBatches(scripts, settings))

    async def check(self, wanted: JobsToCancel) -> None:
        """Raise InvalidInput for a flow that is none."""
        job_filter(wanted)

    async def count(self, wanted: JobsToCancel) -> Count:
        """Count the waiting jobs that the filter finds, by a bounded look."""
        now_us, found, cursor = await self._search.now_us(), 0, None
        for _ in range(MAX_COUNT_PAGES):
            page = await self._search.page(job_filter(wanted, now_us), COUNTED_AT_ONCE, cursor)
            found, cursor = found + len(page.jobs), page.next
            if cursor is None:
                break
        return Count(now_us, found, found, found, cursor is None, found)

    async def do(self, operation: Operation, batch: Batch, rule_ids: Sequence[str]) -> BatchResult | None:
        """Cancel the jobs of the next page; those that were sent meanwhile are skipped."""
        if batch.limit == 0:
            return await self._batches.cancel([], operation.cursor, batch)
        assert isinstance(operation.filter, JobsToCancel)
        wanted = job_filter(operation.filter, operation.until_us)
        page = await self._search.page(wanted, batch.limit, operation.cursor)
        return await self._batches.cancel([job.id for job in page.jobs], page.next, batch)


def job_filter(wanted: JobsToCancel, until_us: int | None = None) -> JobFilter:
    """The filter as the queue has it, for jobs that were submitted until then. Raises InvalidInput."""
    before = [time for time in (until_us, _us(wanted.submitted_before)) if time is not None]
    after_us = _us(wanted.submitted_after)
    return JobFilter(
        rule_id=wanted.rule_id,
        descriptor=wanted.descriptor,
        flow=None if wanted.flow is None else _flow(wanted.flow),
        owner=wanted.owner,
        statuses=WAITING,
        submitted_from_ms=None if after_us is None else after_us // 1000,
        submitted_to_ms=min(before) // 1000 if before else None,
    )


def _flow(text: str) -> str:
    try:
        return flow_of_id(text)
    except NotFound as error:
        raise InvalidInput("flow: this is no id of a flow.") from error


def _us(time: datetime | None) -> int | None:
    return None if time is None else unix_us(time)
