"""Delivery: one attempt to send a job, and the outcome stored."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import structlog
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from app.errors import QueueUnavailable, UpstreamError
from app.headers import drained
from app.identity_token import IdentityTokens
from app.jobs.model import JobStatus, StoredResponse
from app.queue.flows import Flows
from app.queue.model import LeasedJob, Settlement
from app.settings import Settings
from app.upstream import Upstream
from consumers.metrics import Metrics
from consumers.retry import Backoff, Exhausted, Held, Outcome, Retry, Succeeded, judge
from consumers.settling import Settling

log = structlog.get_logger()


class Delivery:
    """Sends jobs and stores their outcomes; knows what is in flight."""

    def __init__(
        self, flows: Flows, upstream: Upstream, identity: IdentityTokens, settings: Settings, metrics: Metrics
    ) -> None:
        self._flows = flows
        self._settling = Settling(flows)
        self._upstream = upstream
        self._identity = identity
        self._most_response_bytes = settings.max_stored_response_bytes
        self._lease_s = settings.lease_s
        self._backoff = Backoff(settings.retry_base_s, settings.retry_max_s)
        self._metrics = metrics
        self.in_flight: dict[str, LeasedJob] = {}

    async def attempt(self, job: LeasedJob, sent: Callable[[], None]) -> None:
        """Send a job and store what came of it; calls `sent` once, at the latest when it is over."""
        self.in_flight[job.id] = job
        try:
            outcome = await self._send(job, sent)
            self._metrics.attempts.labels(type(outcome).__name__.lower()).inc()
            if not await self._persistently(lambda: self._store(job, outcome)):
                self._metrics.lost_leases.inc()
        except QueueUnavailable as error:  # someone will reclaim it
            log.error("outcome_not_stored", job=job.id, error=str(error))
        except asyncio.CancelledError:
            await self._give_up(job)
            raise
        finally:
            sent()
            del self.in_flight[job.id]

    async def _give_up(self, job: LeasedJob) -> None:
        """The worker ends before the app server has answered: it may have acted, so the attempt counts."""
        try:
            await self._flows.retry(job, 0, "worker_stopped", "Its worker was stopped.", give_back=False)
        except QueueUnavailable as error:
            log.error("outcome_not_stored", job=job.id, error=str(error))

    async def extend_leases(self, consumer: str) -> None:
        """Keep the leases of all that is in flight."""
        by_partition: dict[str, list[LeasedJob]] = {}
        for job in self.in_flight.values():
            by_partition.setdefault(job.id.partition("-")[0], []).append(job)
        for jobs in by_partition.values():
            await self._flows.extend(jobs, consumer)

    async def _send(self, job: LeasedJob, sent: Callable[[], None]) -> Outcome:
        try:
            result: StoredResponse | UpstreamError = await self._fetch(job, sent)
        except UpstreamError as error:
            result = error
        away = self._upstream.away
        return judge(result, job.attempt, job.max_attempts, self._backoff, random.random(), away=away)

    async def _fetch(self, job: LeasedJob, sent: Callable[[], None]) -> StoredResponse:
        request = job.request
        headers = drained(request.headers, job.id, job.attempt, self._identity.token(request.subject))
        return await self._upstream.fetch(
            request.method, request.target, headers, request.body, self._most_response_bytes, sent
        )

    async def _store(self, job: LeasedJob, outcome: Outcome) -> bool:
        match outcome:
            case Succeeded(response):
                return await self._settling.settle(Settlement(job, JobStatus.SUCCEEDED, response=response))
            case Exhausted(code, message, response):
                return await self._settling.settle(Settlement(job, JobStatus.FAILED, code, message, response))
            case Retry(delay_s, code, message, give_back):
                return await self._flows.retry(job, delay_s, code, message, give_back=give_back)
            case Held():
                await self._flows.unlease([job])
                return True

    async def _persistently(self, store: Callable[[], Awaitable[bool]]) -> bool:
        """An outcome that is not stored would be a duplicate later: try for as long as the lease may last."""
        async for trial in AsyncRetrying(
            retry=retry_if_exception_type(QueueUnavailable),
            wait=wait_random_exponential(multiplier=0.1, max=1),
            stop=stop_after_delay(self._lease_s),
            reraise=True,
        ):
            with trial:
                return await asyncio.shield(store())
        raise AssertionError("unreachable: tenacity returns or raises")
