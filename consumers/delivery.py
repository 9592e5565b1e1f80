"""Delivery: makes one attempt to send a job and stores its outcome."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from time import monotonic

import structlog
from tenacity import AsyncRetrying, retry_if_exception_type, wait_random_exponential

from app.errors import MalformedRequest, PenstockError, QueueUnavailable, UpstreamCut, UpstreamError
from app.identity.identity_token import IdentityTokens
from app.jobs.model import JobStatus, StoredResponse
from app.limiter.answer_cost import AnswerCost, hidden_headers
from app.limiter.corrections import Corrections
from app.queue.flows import Flows
from app.queue.model import LeasedJob, Settlement
from app.settings import Settings
from app.upstream.response import UpstreamResponse
from app.upstream.upstream import Upstream
from app.web.headers import Headers, for_delivery
from consumers.metrics import WorkerMetrics
from consumers.retry import (
    BUSY_STATUSES,
    Backoff,
    Exhausted,
    FlowHeld,
    Outcome,
    Released,
    Retry,
    Succeeded,
    outcome_of,
)
from consumers.send_gate import SendGate
from consumers.settling import Settling

log = structlog.get_logger()


class Delivery:
    """Sends jobs and stores their outcomes, and knows which jobs are in flight."""

    def __init__(
        self,
        flows: Flows,
        upstream: Upstream,
        gate: SendGate,
        identity: IdentityTokens,
        settings: Settings,
        metrics: WorkerMetrics,
        corrections: Corrections,
    ) -> None:
        self._flows = flows
        self._settling = Settling(flows)
        self._upstream = upstream
        self._gate = gate
        self._identity = identity
        self._max_response_bytes = settings.max_stored_response_bytes
        self._backoff = Backoff(settings.retry_base_s, settings.retry_max_s)
        self._corrections = corrections
        self._lost_leases = metrics.lost_leases
        self._attempts = metrics.attempts
        self._in_flight: dict[tuple[str, str], LeasedJob] = {}

    def begin(self, job: LeasedJob) -> UpstreamResponse | PenstockError:
        """Send a job at once if a connection is idle; otherwise `attempt` opens a connection and sends it."""
        request = job.request
        headers = for_delivery(request.headers, job.id, job.attempt, self._identity.token(request.subject))
        try:
            begun = self._upstream.begin(request.method, request.target, headers, request.body)
        except PenstockError as error:
            return error
        self._gate.begin(job.flow, job.id)
        return begun

    async def attempt(
        self, job: LeasedJob, begun: UpstreamResponse | PenstockError, sent: Callable[[], None] | None
    ) -> None:
        """Wait for the answer and store the outcome. Calls `sent` when the request is written, or at the end."""
        lease = (job.lease, job.id)
        self._in_flight[lease] = job
        begun_s = monotonic()
        outcome: Outcome | None = None
        try:
            outcome = await self._outcome(job, begun, sent)
            self._attempts[type(outcome)] += 1
            if not await self._stored(job, outcome, _took_ms(begun_s)):
                self._lost_leases.inc()
            elif isinstance(outcome, Exhausted | FlowHeld):
                _log_trouble(job, outcome)
        except asyncio.CancelledError:
            await self._store_at_stop(job, outcome, _took_ms(begun_s))
            raise
        finally:
            if sent is not None:
                sent()
            del self._in_flight[lease]

    async def _store_at_stop(self, job: LeasedJob, outcome: Outcome | None, took_ms: int) -> None:
        """Try once more to store the outcome, as the worker stops.

        Without one, the answer has not come; the attempt is used, as the request may have worked.
        """
        try:
            await self._store(job, outcome or Retry(0, "worker_stopped", "The worker was stopped.", None), took_ms)
        except QueueUnavailable as error:
            log.error("outcome_not_stored", job=job.id, error=str(error))

    @property
    def in_flight(self) -> Iterable[LeasedJob]:
        """The jobs that were sent and whose outcomes are not stored yet."""
        return self._in_flight.values()

    async def _outcome(
        self, job: LeasedJob, begun: UpstreamResponse | PenstockError, sent: Callable[[], None] | None
    ) -> Outcome:
        try:
            if isinstance(begun, PenstockError):
                raise begun
            await begun.receive_head(sent)
            result: StoredResponse | UpstreamError = (
                await self._read_corrected(job, begun) if job.corrected else await self._read(begun, begun.headers)
            )
        except UpstreamError as error:
            result = error
        except MalformedRequest as error:  # a damaged record, which no further attempt can send
            return Exhausted("attempts_exhausted", str(error), None)
        except Exception as error:  # so that a fault of ours ends as a failed attempt, not at the end of the lease
            log.exception("attempt_failed", job=job.id)
            result = UpstreamCut(f"The worker failed to handle the answer: {type(error).__name__}.")
        busy = result.status in BUSY_STATUSES if isinstance(result, StoredResponse) else None
        self._gate.end(job.flow, job.id, busy=busy)
        return outcome_of(result, job.attempt, job.max_attempts, self._backoff, random.random())

    async def _read_corrected(self, job: LeasedJob, answer: UpstreamResponse) -> StoredResponse:
        """Read the answer, and correct what the attempt was charged by what the answer states."""
        cost = AnswerCost(self._corrections, job.corrected, hidden_headers(job.corrected))
        try:
            return await self._read(answer, cost.begin(answer.headers))
        finally:
            cost.end(answer.trailers)

    async def _read(self, answer: UpstreamResponse, headers: Headers) -> StoredResponse:
        """Read the whole answer, to be stored with these headers; without its body if that is larger than the limit."""
        with answer:
            chunks = [answer.read_nowait()]
            size = len(chunks[0])
            while not answer.complete and size <= self._max_response_bytes:
                chunks.append(await answer.read())
                size += len(chunks[-1])
            body = b"".join(chunks) if size <= self._max_response_bytes else None
            return StoredResponse(answer.status, headers, body)

    def _store(self, job: LeasedJob, outcome: Outcome, took_ms: int) -> Awaitable[bool]:
        """Store an outcome, even if the caller is cancelled meanwhile. The result is False if the lease was lost."""
        match outcome:
            case Succeeded(response):
                return self._settling.settle(Settlement(job, JobStatus.SUCCEEDED, response=response, took_ms=took_ms))
            case Exhausted(code, message, response):
                return self._settling.settle(Settlement(job, JobStatus.FAILED, code, message, response, took_ms))
            case Retry(delay_s, code, message, answer):
                return asyncio.shield(
                    self._flows.retry(job, delay_s, code, message, give_back=False, took_ms=took_ms, answer=answer)
                )
            case FlowHeld(retry_after_s, code, message, answer):
                delays_s = (self._backoff.base_s, self._backoff.max_s, retry_after_s)
                return asyncio.shield(self._flows.hold(job, *delays_s, code, message, took_ms=took_ms, answer=answer))
            case Released():
                return asyncio.shield(self._release(job))

    async def _release(self, job: LeasedJob) -> bool:
        await self._flows.release([job])
        return True

    async def _stored(self, job: LeasedJob, outcome: Outcome, took_ms: int) -> bool:
        """Store an outcome, retrying until the queue has it: a lost outcome would cause a duplicate.

        The job counts as in flight until then, so no more outcomes wait than jobs may be in flight.
        """
        with suppress(QueueUnavailable):
            return await self._store(job, outcome, took_ms)
        async for store_attempt in AsyncRetrying(
            retry=retry_if_exception_type(QueueUnavailable), wait=wait_random_exponential(multiplier=0.1, max=1)
        ):
            with store_attempt:
                return await self._store(job, outcome, took_ms)
        raise AssertionError("unreachable: tenacity goes on until a call succeeds")


def _took_ms(begun_s: float) -> int:
    return int((monotonic() - begun_s) * 1000)


def _log_trouble(job: LeasedJob, outcome: Exhausted | FlowHeld) -> None:
    if isinstance(outcome, FlowHeld):
        log.warning("flow_held", flow=job.flow, error=outcome.message, retry_after_s=outcome.retry_after_s)
    else:
        log.warning("dead_letter", job=job.id, flow=job.flow, code=outcome.code, error=outcome.message)
