"""Delivery: one attempt to send a job, and the outcome stored."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from app.errors import MalformedRequest, PenstockError, QueueUnavailable, UpstreamError
from app.identity.identity_token import IdentityTokens
from app.jobs.model import JobStatus, StoredResponse
from app.queue.flows import Flows
from app.queue.model import LeasedJob, Settlement
from app.settings import Settings
from app.upstream.upstream import Upstream, UpstreamResponse
from app.web.headers import drained
from consumers.metrics import WorkerMetrics
from consumers.retry import Backoff, Exhausted, Held, Outcome, Retry, Succeeded, outcome_of
from consumers.settling import Settling

log = structlog.get_logger()


class Delivery:
    """Sends jobs and stores their outcomes; knows what is in flight."""

    def __init__(
        self, flows: Flows, upstream: Upstream, identity: IdentityTokens, settings: Settings, metrics: WorkerMetrics
    ) -> None:
        self._flows = flows
        self._settling = Settling(flows)
        self._upstream = upstream
        self._identity = identity
        self._most_response_bytes = settings.max_stored_response_bytes
        self._lease_s = settings.lease_s
        self._backoff = Backoff(settings.retry_base_s, settings.retry_max_s)
        self._lost_leases = metrics.lost_leases
        self._attempts = metrics.attempts
        self._in_flight: dict[tuple[str, str], LeasedJob] = {}

    def begin(self, job: LeasedJob) -> UpstreamResponse | PenstockError:
        """Send a job at once, where a connection is open for it; else it waits for one in `attempt`."""
        request = job.request
        headers = drained(request.headers, job.id, job.attempt, self._identity.token(request.subject))
        try:
            return self._upstream.begin(request.method, request.target, headers, request.body)
        except PenstockError as error:
            return error

    async def attempt(
        self, job: LeasedJob, begun: UpstreamResponse | PenstockError, sent: Callable[[], None] | None
    ) -> None:
        """Wait for the answer and store what came of it; calls `sent`, if any, at the latest when it is over."""
        lease = (job.lease, job.id)
        self._in_flight[lease] = job
        try:
            outcome = await self._outcome(job, begun, sent)
            self._attempts[type(outcome)] += 1
            if not await self._stored(job, outcome):
                self._lost_leases.inc()
        except QueueUnavailable as error:  # someone will reclaim it
            log.error("outcome_not_stored", job=job.id, error=str(error))
        except asyncio.CancelledError:
            await self._give_up(job)
            raise
        finally:
            if sent is not None:
                sent()
            del self._in_flight[lease]

    async def _give_up(self, job: LeasedJob) -> None:
        """The worker ends before the app server has answered: it may have acted, so the attempt counts."""
        try:
            await self._flows.retry(job, 0, "worker_stopped", "Its worker was stopped.", give_back=False)
        except QueueUnavailable as error:
            log.error("outcome_not_stored", job=job.id, error=str(error))

    async def extend_leases(self, consumer: str) -> None:
        """Keep the leases of all that is in flight."""
        by_partition: dict[str, list[LeasedJob]] = {}
        for job in self._in_flight.values():
            by_partition.setdefault(job.id.partition("-")[0], []).append(job)
        for jobs in by_partition.values():
            await self._flows.extend(jobs, consumer)

    async def _outcome(
        self, job: LeasedJob, begun: UpstreamResponse | PenstockError, sent: Callable[[], None] | None
    ) -> Outcome:
        try:
            if isinstance(begun, PenstockError):
                raise begun
            await begun.arrived(sent)
            result: StoredResponse | UpstreamError = await self._read(begun)
        except UpstreamError as error:
            result = error
        except MalformedRequest as error:  # it was stored by someone else than us, and never will be another
            return Exhausted("attempts_exhausted", str(error), None)
        away = self._upstream.away
        return outcome_of(result, job.attempt, job.max_attempts, self._backoff, random.random(), away=away)

    async def _read(self, answer: UpstreamResponse) -> StoredResponse:
        """The whole answer; its body is None where it is larger than is kept."""
        with answer:
            kept = [answer.take()]
            size = len(kept[0])
            while not answer.over and size <= self._most_response_bytes:
                kept.append(await answer.read())
                size += len(kept[-1])
            body = b"".join(kept) if size <= self._most_response_bytes else None
            return StoredResponse(answer.status, answer.headers, body)

    def _store(self, job: LeasedJob, outcome: Outcome) -> Awaitable[bool]:
        """Goes on by itself where nobody waits for it any more."""
        match outcome:
            case Succeeded(response):
                return self._settling.settle(Settlement(job, JobStatus.SUCCEEDED, response=response))
            case Exhausted(code, message, response):
                return self._settling.settle(Settlement(job, JobStatus.FAILED, code, message, response))
            case Retry(delay_s, code, message, give_back):
                return asyncio.shield(self._flows.retry(job, delay_s, code, message, give_back=give_back))
            case Held():
                return asyncio.shield(self._release(job))

    async def _release(self, job: LeasedJob) -> bool:
        await self._flows.release([job])
        return True

    async def _stored(self, job: LeasedJob, outcome: Outcome) -> bool:
        """An outcome that is not stored would be a duplicate later: try for as long as the lease may last."""
        with suppress(QueueUnavailable):
            return await self._store(job, outcome)
        async for trial in AsyncRetrying(
            retry=retry_if_exception_type(QueueUnavailable),
            wait=wait_random_exponential(multiplier=0.1, max=1),
            stop=stop_after_delay(self._lease_s),
            reraise=True,
        ):
            with trial:
                return await self._store(job, outcome)
        raise AssertionError("unreachable: tenacity returns or raises")
