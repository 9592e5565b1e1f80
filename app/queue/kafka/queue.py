"""Kafka before the flows: the record in the queue Redis, then one acknowledged message; only then a job is accepted."""

import asyncio

import structlog
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_exponential

from app.errors import BodyTooLarge, QueueUnavailable
from app.jobs.model import Job, JobStatus, StoredRequest
from app.queue import keys
from app.queue.envelope import Envelope
from app.queue.flows import Flows
from app.queue.kafka.messages import headers_of
from app.queue.kafka.producer import Producer
from app.queue.kafka.staging import Staging
from app.queue.kafka.topics import DAY_S, prepare_topics
from app.queue.model import Deferral, Enqueued, Full
from app.settings import Settings
from app.web.headers import CREDENTIALS

log = structlog.get_logger()

ABANDON_FOR_S = 60.0


class KafkaQueue:
    """A JobQueue (app/queue/job_queue.py)."""

    def __init__(self, flows: Flows, staging: Staging, producer: Producer, settings: Settings) -> None:
        self._flows = flows
        self._staging = staging
        self._producer = producer
        self._envelope = Envelope.of(settings)
        self._settings = settings
        self._retention_s = 0.0
        self._timeout_s = settings.queue_timeout_ms / 1000
        self._abandoning: set[asyncio.Task[bool]] = set()

    async def run(self) -> None:
        """Keep in touch with Kafka; runs until cancelled. Raises StartupError."""
        self._retention_s = await prepare_topics(self._settings)
        await self._producer.run()

    async def enqueue(self, deferral: Deferral) -> Enqueued | Full:
        """Raises IdempotencyConflict, BodyTooLarge, QueueUnavailable."""
        if not self._producer.is_ready:
            raise QueueUnavailable("Kafka is away.")
        if deferral.rule.queue.max_wait_seconds + DAY_S >= self._retention_s:
            raise QueueUnavailable("Kafka does not keep messages for as long as this rule lets them wait.")
        answer, awaits_message = await self._staging.record(deferral)
        if isinstance(answer, Full):
            return answer
        if answer.known:
            if awaits_message:
                await self._again(answer.job, deferral.request, seal=deferral.seal)
            return answer
        flow = keys.flow(deferral.rule.rule_id, deferral.descriptor)
        try:
            await self._produce(answer.job.id, flow, deferral.request, seal=deferral.seal)
        except (QueueUnavailable, BodyTooLarge):
            if await self._abandon(answer.job.id):
                raise
        return answer

    async def find_by_idempotency_key(
        self, flows: list[tuple[str, str]], owner: str, key: str, request: StoredRequest | None
    ) -> Job | None:
        """As flows do; a job whose message may never have been produced is brought to Kafka first."""
        job = await self._flows.find_by_idempotency_key(flows, owner, key, request)
        if request is None or job is None:
            return job
        if job.status is JobStatus.QUEUED and await self._staging.awaits_message(job):
            # Credentials are there only where they are to be encrypted.
            seal = any(name in CREDENTIALS for name, _ in request.headers)
            await self._again(job, request, seal=seal)
        return job

    async def _produce(self, job_id: str, flow: str, request: StoredRequest, *, seal: bool) -> None:
        stored = self._envelope.encode(job_id, request, seal=seal)
        await self._producer.produce(self._settings.kafka_topic, flow.encode(), stored, headers_of(job_id))

    async def _again(self, job: Job, request: StoredRequest, *, seal: bool) -> None:
        """Whoever recorded it may have died before its message: there had better be two than none."""
        await self._produce(job.id, await self._staging.flow_of(job), request, seal=seal)
        if not await self._staging.confirm_produced(job.id):
            raise QueueUnavailable("The job of this idempotency key was not accepted.")

    async def _abandon(self, job_id: str) -> bool:
        """Before the client hears of it; where the queue Redis is away too, as soon as it is back."""
        task = asyncio.create_task(self._abandon_persistently(job_id))
        self._abandoning.add(task)
        task.add_done_callback(self._abandoning.discard)
        try:
            return await asyncio.wait_for(asyncio.shield(task), self._timeout_s)
        except TimeoutError:
            return True

    async def _abandon_persistently(self, job_id: str) -> bool:
        try:
            async for trial in AsyncRetrying(
                retry=retry_if_exception_type(QueueUnavailable),
                wait=wait_exponential(0.1, 1),
                stop=stop_after_delay(ABANDON_FOR_S),
                reraise=True,
            ):
                with trial:
                    return await self._staging.abandon(job_id)
        except QueueUnavailable as error:
            log.error("job_not_abandoned", job=job_id, error=str(error))
        return True
