"""The job queue that stores requests in Kafka.

The edge writes the job's record in the queue Redis and then produces one message with the request. The job is accepted
once Kafka has acknowledged the message.
"""

import asyncio
from typing import Self

import structlog
from redis.asyncio import Redis
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_exponential

from app.errors import BodyTooLarge, QueueUnavailable
from app.jobs.model import Job, JobStatus, StoredRequest
from app.queue.envelope import Envelope
from app.queue.flows import Flows
from app.queue.job_queue import IdempotencyIndex
from app.queue.kafka.messages import message_headers
from app.queue.kafka.producer import Producer
from app.queue.kafka.staging import Staging
from app.queue.kafka.topics import DAY_S, prepare_topics
from app.queue.model import Deferral, Enqueued, Full
from app.redis_wire.scripts import Scripts
from app.settings import Settings
from app.web.headers import holds_credentials

log = structlog.get_logger()

ABANDON_RETRIES_S = 60.0
"""How long to keep trying to cancel a job whose message Kafka did not acknowledge."""


class KafkaQueue:
    """A JobQueue on Kafka."""

    def __init__(self, index: IdempotencyIndex, staging: Staging, producer: Producer, settings: Settings) -> None:
        self._index = index
        self._staging = staging
        self._producer = producer
        self._envelope = Envelope.of(settings)
        self._settings = settings
        self._retention_s = 0.0
        self._timeout_s = settings.queue_timeout_ms / 1000
        self._abandoning: set[asyncio.Task[bool]] = set()

    @classmethod
    def of(cls, redis: Redis, scripts: Scripts, settings: Settings) -> Self:
        """A queue on the Kafka cluster and the queue Redis that the settings name."""
        flows, staging = Flows(redis, scripts, settings), Staging(redis, scripts, settings)
        return cls(flows, staging, Producer(settings), settings)

    async def run(self) -> None:
        """Prepare the topics and keep a connected producer until cancelled. Raises StartupError."""
        self._retention_s = await prepare_topics(self._settings)
        await self._producer.run()

    async def enqueue(self, deferral: Deferral) -> Enqueued | Full:
        """Store a request as a job. Raises IdempotencyConflict, BodyTooLarge and QueueUnavailable."""
        if not self._producer.is_ready:
            raise QueueUnavailable("Kafka cannot be reached.")
        if deferral.rule.queue.max_wait_seconds + DAY_S >= self._retention_s:
            raise QueueUnavailable(
                "The Kafka topic does not keep messages for as long as this rule lets jobs wait.", "retention"
            )
        recorded = await self._staging.record(deferral)
        answer = recorded.answer
        if isinstance(answer, Full):
            return answer
        if answer.known:
            if recorded.awaits_message:
                await self._produce_again(answer.job, deferral.request, seal=deferral.seal)
            return answer
        try:
            await self._produce(answer.job.id, answer.job.flow, deferral.request, seal=deferral.seal)
        except (QueueUnavailable, BodyTooLarge):
            if await self._abandon(answer.job.id):
                raise
        return answer

    async def find_by_idempotency_key(
        self, flows: list[tuple[str, str]], owner: str, key: str, request: StoredRequest | None
    ) -> Job | None:
        """The job that this owner's key stands for.

        If the job's message has not been read yet, it may never have been produced, so it is produced again. Raises
        IdempotencyConflict, BodyTooLarge and QueueUnavailable.
        """
        job = await self._index.find_by_idempotency_key(flows, owner, key, request)
        if request is None or job is None:
            return job
        if job.status is JobStatus.QUEUED and await self._staging.awaits_message(job):
            # A request still holds credentials only where its rule keeps them, and then it is encrypted.
            seal = holds_credentials(request.headers, self._settings.key_headers)
            await self._produce_again(job, request, seal=seal)
        return job

    async def _produce(self, job_id: str, flow: str, request: StoredRequest, *, seal: bool) -> None:
        stored = self._envelope.encode(job_id, request, seal=seal)
        await self._producer.produce(self._settings.kafka_topic, flow.encode(), stored, message_headers(job_id))

    async def _produce_again(self, job: Job, request: StoredRequest, *, seal: bool) -> None:
        """Produce the message of a job whose edge may have failed before it did. The intake skips a second message."""
        await self._produce(job.id, job.flow, request, seal=seal)
        if not await self._staging.confirm_produced(job.id):
            raise QueueUnavailable("The job of this idempotency key was not accepted.", "job_just_ended")

    async def _abandon(self, job_id: str) -> bool:
        """Cancel a job before its client is refused. False if the job has been accepted or sent after all.

        While the queue Redis does not answer, the cancellation is retried in the background and the client is refused.
        """
        task = asyncio.create_task(self._abandon_with_retries(job_id))
        self._abandoning.add(task)
        task.add_done_callback(self._abandoning.discard)
        try:
            return await asyncio.wait_for(asyncio.shield(task), self._timeout_s)
        except TimeoutError:
            return True

    async def _abandon_with_retries(self, job_id: str) -> bool:
        try:
            async for trial in AsyncRetrying(
                retry=retry_if_exception_type(QueueUnavailable),
                wait=wait_exponential(0.1, 1),
                stop=stop_after_delay(ABANDON_RETRIES_S),
                reraise=True,
            ):
                with trial:
                    return await self._staging.abandon(job_id)
        except QueueUnavailable as error:
            log.error("job_not_abandoned", job=job_id, error=str(error))
        return True
