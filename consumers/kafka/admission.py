"""Admission: what becomes of messages that were read from Kafka."""

from collections.abc import Sequence

import structlog
from aiokafka import ConsumerRecord

from app.errors import IdempotencyConflict, QueueUnavailable
from app.jobs.model import encode_request, partition_of
from app.queue.kafka.messages import CURRENT, VERSION, RecordedJob, SubmittedJob, UnreadableMessage, read_message
from app.queue.kafka.producer import Producer
from app.queue.kafka.staging import Arrived, Place, Staging
from app.queue.model import Full, FullReason
from app.rules.cache import RuleCache
from app.settings import Settings
from consumers.metrics import WorkerMetrics

log = structlog.get_logger()

MOST_BYTES = 4 << 20


class Admission:
    """Lets messages of one Kafka partition into their flows, in order; what is none of ours, into the dead letters."""

    def __init__(
        self, staging: Staging, rules: RuleCache, producer: Producer, settings: Settings, metrics: WorkerMetrics
    ) -> None:
        self._staging = staging
        self._rules = rules
        self._producer = producer
        self._settings = settings
        self._metrics = metrics

    async def admit(self, records: Sequence[ConsumerRecord]) -> int:
        """How many of them are dealt with; there is no room for the next. Raises Unavailable where none may be."""
        dealt_with = 0
        while dealt_with < len(records):
            batch, done = await self._read(records[dealt_with:])
            missing = await self._let_in(batch)
            if missing is not None:
                return dealt_with + missing
            dealt_with += done
        return dealt_with

    async def _read(self, records: Sequence[ConsumerRecord]) -> tuple[list[tuple[int, Arrived]], int]:
        """What of them is a job, with its index, until it is enough for once; and how many were looked at."""
        batch: list[tuple[int, Arrived]] = []
        size = 0
        for index, record in enumerate(records):
            try:
                batch.append((index, await self._arrived(record)))
            except UnreadableMessage as error:
                await self._refuse(record, str(error))
            size += len(record.value or b"")
            if size >= MOST_BYTES:
                return batch, index + 1
        return batch, len(records)

    async def _let_in(self, batch: Sequence[tuple[int, Arrived]]) -> int | None:
        """The index of the first for which there was no room; None where there was for all."""
        by_partition: dict[int | None, list[tuple[int, Arrived]]] = {}
        for index, message in batch:
            by_partition.setdefault(partition_of(message.job_id), []).append((index, message))
        first_left: list[int] = []
        for group in by_partition.values():
            admitted = await self._staging.admit([message for _, message in group])
            self._metrics.intake.labels("resident").inc(admitted.resident)
            self._metrics.intake.labels("spilled").inc(admitted.spilled)
            self._metrics.intake.labels("skipped").inc(admitted.skipped)
            if admitted.dealt_with < len(group):
                first_left.append(group[admitted.dealt_with][0])
        return min(first_left, default=None)

    async def _arrived(self, record: ConsumerRecord) -> Arrived:
        """Raises UnreadableMessage, QueueUnavailable, RulesUnavailable."""
        message = read_message(record.headers, record.value, self._settings.queue_partitions)
        place = Place(record.partition, record.offset)
        if isinstance(message, RecordedJob):
            return Arrived(message.job_id, place, message.stored)
        return await self._recorded(message, place)

    async def _recorded(self, submitted: SubmittedJob, place: Place) -> Arrived:
        """What another producer wrote gets its record here."""
        rule = await self._rules.by_id(submitted.rule_id)
        if rule is None:
            raise UnreadableMessage(f"there is no rule {submitted.rule_id}")
        deferral = submitted.deferral(rule, f"{self._settings.kafka_topic} {place.partition} {place.offset}")
        try:
            answer, _ = await self._staging.record(deferral)
        except IdempotencyConflict as error:
            raise UnreadableMessage("its idempotency key was used for a different request") from error
        if isinstance(answer, Full):
            if answer.reason is FullReason.MEMORY:
                raise QueueUnavailable("The queue takes no more jobs.")
            raise UnreadableMessage(f"its flow takes no more jobs: {answer.reason}")
        return Arrived(answer.job.id, place, encode_request(deferral.request))

    async def _refuse(self, record: ConsumerRecord, reason: str) -> None:
        """Into the dead letters' topic; the partition goes on. Raises QueueUnavailable where Kafka does not take it."""
        headers = [
            (VERSION, CURRENT),
            ("reason", reason.encode()),
            ("from", f"{record.topic} {record.partition} {record.offset}".encode()),
        ]
        topic = self._settings.kafka_dead_letter_topic
        await self._producer.produce(topic, record.key or b"", record.value or b"", headers)
        self._metrics.intake.labels("refused").inc()
        log.warning("message_refused", partition=record.partition, offset=record.offset, reason=reason)
