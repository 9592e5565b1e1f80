"""What operators do with jobs: find them, see what has become of one and why it waits, and cancel them."""

from collections.abc import Collection
from typing import Self

from redis.asyncio import Redis

from app.admin.operators import Operator, Role
from app.admin.services.audit import Audit
from app.admin.services.jobs_model import JobContentsDocument, JobDocument, JobPage, JobQuery, JobSummary
from app.admin.services.turns import Turns
from app.errors import Conflict, NotFound
from app.jobs.model import JobStatus
from app.queue.job_details import JobDetailsReader
from app.queue.job_search import JobSearch
from app.queue.records import CancelResult, Records
from app.redis_wire.scripts import Scripts
from app.rules.key_headers import KeyHeaders
from app.settings import Settings

UNKNOWN_JOB = "There is no such job, or its record is no longer kept."


class JobService:
    """Jobs of all callers. Every method raises Forbidden, and QueueUnavailable without the queue Redis.

    `default_issuer` is the issuer of owners that are named by the subject of their tokens alone.
    """

    def __init__(
        self,
        search: JobSearch,
        details: JobDetailsReader,
        records: Records,
        audit: Audit,
        default_issuer: str | None,
        secret_headers: Collection[str],
    ) -> None:
        self._turns = Turns()
        self._search = search
        self._details = details
        self._records = records
        self._audit = audit
        self._default_issuer = default_issuer
        self._secret_headers = secret_headers

    @classmethod
    def on(cls, queue: Redis, scripts: Scripts, settings: Settings, audit: Audit) -> Self:
        """Jobs on a queue Redis."""
        records = Records(queue, scripts, settings)
        search, details = JobSearch(queue, scripts, records, settings), JobDetailsReader(queue, scripts, settings)
        return cls(search, details, records, audit, settings.jwt_issuer, KeyHeaders(settings).names)

    async def page(self, operator: Operator, query: JobQuery) -> JobPage:
        """List jobs: first those that have not ended, then the recent outcomes. Raises InvalidInput for no cursor.

        A page may be short, and even empty, although others follow.
        """
        operator.require(Role.VIEWER)
        async with self._turns.of(operator):
            found = await self._search.page(query.as_filter(self._default_issuer), query.limit, query.after)
        return JobPage(jobs=[JobSummary.of(job) for job in found.jobs], next=found.next)

    async def get(self, operator: Operator, job_id: str, with_contents: bool = True) -> JobDocument:
        """Show a job with its timeline, and its contents to operators, unless they are not wanted. Raises NotFound."""
        operator.require(Role.VIEWER)
        details = await self._details.get(job_id)
        if details is None:
            raise NotFound(UNKNOWN_JOB)
        contents = None
        if with_contents and operator.role >= Role.OPERATOR:
            contents = JobContentsDocument.of(await self._details.contents(job_id), self._secret_headers)
        return JobDocument.of_details(details, contents)

    async def cancel(self, operator: Operator, job_id: str) -> None:
        """Cancel a job that has not been sent; nothing happens to one that is canceled already.

        Raises NotFound, Conflict where it is being sent or has ended, and AuditUnavailable; then nothing was done.
        """
        operator.require(Role.OPERATOR)
        job = await self._records.get(job_id)
        if job is None:
            raise NotFound(UNKNOWN_JOB)
        if job.status is JobStatus.CANCELED:
            return
        before = {"status": job.status.value}
        if job.status not in {JobStatus.QUEUED, JobStatus.RETRYING}:
            raise Conflict(f"The job can't be canceled: it is {job.status}.")
        await self._audit.record(
            operator, action="job.canceled", target=job_id, before=before, after={"status": JobStatus.CANCELED.value}
        )
        results = await self._records.cancel_all([job_id])
        if results[job_id] is CancelResult.NOT_WAITING:  # a worker was faster
            await self._audit.record_done(operator, action="job.not_canceled", target=job_id, before=before)
            raise Conflict("The job can't be canceled: it has just been sent.")
