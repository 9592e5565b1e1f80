"""Admission: moves messages that were read from Kafka into their flows, or refuses them."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import structlog
from aiokafka import ConsumerRecord

from app.errors import IdempotencyConflict, QueueUnavailable, Unavailable
from app.jobs.model import encode_request, partition_of_job
from app.queue.kafka.messages import RecordedJob, SubmittedJob, UnreadableMessage, read_message
from app.queue.kafka.model import AdmitResult, IntakeMessage, MessageLocation
from app.queue.kafka.producer import Producer
from app.queue.kafka.staging import Staging
from app.queue.model import Full, FullReason
from app.rules.cache import RuleCache
from app.settings import Settings
from app.web.excerpt import excerpt
from consumers.kafka.metrics import IntakeMetrics
from consumers.kafka.refusal import Refusals

log = structlog.get_logger()

BATCH_BYTES = 4 << 20


class _Indexed(NamedTuple):
    """A message with its index in the records that the caller passed."""

    record_index: int
    message: IntakeMessage


class Admission:
    """Admits the messages of one partition of the topic in order. Unreadable ones go to the dead-letter topic."""

    def __init__(
        self, staging: Staging, rules: RuleCache, producer: Producer, settings: Settings, metrics: IntakeMetrics
    ) -> None:
        self._staging = staging
        self._rules = rules
        self._refusals = Refusals(producer, settings.kafka_dead_letter_topic, metrics)
        self._settings = settings
        self._metrics = metrics

    async def admit(self, records: Sequence[ConsumerRecord]) -> int:
        """Admit or refuse the records, and return how many were processed before the queue Redis had no more memory.

        Raises Unavailable if none can be processed now.
        """
        processed = 0
        while processed < len(records):
            batch, size = await self._next_batch(records[processed:])
            first_left = await self._admit_or_refuse(batch, records[processed : processed + size])
            if first_left is not None:
                return processed + first_left
            processed += size
        return processed

    async def _next_batch(self, records: Sequence[ConsumerRecord]) -> tuple[list[_Indexed], int]:
        """The messages of the first records, about `BATCH_BYTES` of them, and the number of those records."""
        batch: list[_Indexed] = []
        size_bytes = 0
        for index, record in enumerate(records):
            try:
                batch.append(_Indexed(index, await self._message(record)))
            except Unavailable:
                raise
            except UnreadableMessage as error:
                await self._refusals.refuse(record, str(error))
            except Exception as error:  # whatever a message is, its partition goes on
                await self._refuse_for_bug(record, error)
            size_bytes += len(record.value or b"")
            if size_bytes >= BATCH_BYTES:
                return batch, index + 1
        return batch, len(records)

    async def _admit_or_refuse(self, batch: Sequence[_Indexed], records: Sequence[ConsumerRecord]) -> int | None:
        """Admit messages as `_admit_batch` does. A message with which that fails is refused, and the others are not."""
        try:
            return await self._admit_batch(batch)
        except Unavailable:
            raise
        except Exception as error:
            if len(batch) == 1:
                await self._refuse_for_bug(records[batch[0].record_index], error)
                return None
        for indexed in batch:  # those that were admitted already are skipped
            first_left = await self._admit_or_refuse([indexed], records)
            if first_left is not None:
                return first_left
        return None

    async def _refuse_for_bug(self, record: ConsumerRecord, error: Exception) -> None:
        log.error("message_not_handled", partition=record.partition, offset=record.offset, error=excerpt(repr(error)))
        await self._refusals.refuse(record, f"it cannot be handled: {type(error).__name__}")

    async def _admit_batch(self, batch: Sequence[_Indexed]) -> int | None:
        """The index of the first message for which there was no memory; None if there was for all."""
        by_partition: defaultdict[int, list[_Indexed]] = defaultdict(list)
        for indexed in batch:
            by_partition[partition_of_job(indexed.message.job_id)].append(indexed)
        first_left: list[int] = []
        for group in by_partition.values():
            result = await self._staging.admit([message for _, message in group])
            self._count(result)
            if result.processed < len(group):
                first_left.append(group[result.processed].record_index)
        return min(first_left, default=None)

    def _count(self, result: AdmitResult) -> None:
        self._metrics.messages.labels("resident").inc(result.resident)
        self._metrics.messages.labels("spilled").inc(result.spilled)
        self._metrics.messages.labels("skipped").inc(result.skipped)

    async def _message(self, record: ConsumerRecord) -> IntakeMessage:
        """Raises UnreadableMessage, QueueUnavailable and RulesUnavailable."""
        message = read_message(record.headers, record.value, self._settings.queue_partitions)
        location = MessageLocation(record.partition, record.offset)
        if isinstance(message, RecordedJob):
            return IntakeMessage(message.job_id, location, message.stored)
        return await self._record(message, location)

    async def _record(self, submitted: SubmittedJob, location: MessageLocation) -> IntakeMessage:
        """Write the record of a job that another producer submitted. Raises what `_message` does."""
        rule = await self._rules.by_id(submitted.rule_id)
        if rule is None:
            raise UnreadableMessage(f"there is no rule {submitted.rule_id}")
        deferral = submitted.deferral(rule, f"{self._settings.kafka_topic} {location.partition} {location.offset}")
        try:
            answer = (await self._staging.record(deferral)).answer
        except IdempotencyConflict as error:
            raise UnreadableMessage("its idempotency key was used for a different request") from error
        if isinstance(answer, Full):
            if answer.reason is FullReason.MEMORY:
                raise QueueUnavailable("The queue Redis has no memory for more jobs.")
            raise UnreadableMessage(f"its flow takes no more jobs: {answer.reason}")
        return IntakeMessage(answer.job.id, location, encode_request(deferral.request))
