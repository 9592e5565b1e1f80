"""The intake: reads messages from Kafka, moves them into the flows in order, and commits them afterwards."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from app.errors import QueueUnavailable, Unavailable
from app.queue.kafka.clients import close_kafka, kafka_consumer
from app.queue.kafka.staging import Staging
from app.settings import Settings
from app.web.excerpt import excerpt
from consumers.kafka.admission import Admission
from consumers.kafka.metrics import IntakeMetrics
from consumers.kafka.reading import CarefulReader, is_undecodable
from consumers.kafka.watch import KafkaWatch

log = structlog.get_logger()

POLL_TIMEOUT_MS = 200
MAX_RECORDS = 500
MAX_CAREFULLY_READ = 100
RETRY_DELAY_S = 0.5
SWEEP_INTERVAL_S = 5.0
SWEEP_SLACK_S = 5.0
STUCK_AFTER_S = 15.0
HANDOVER_TIMEOUT_S = 2.0
ROUND_TIMEOUT_S = 30.0
"""Some of aiokafka's calls never return when a broker goes away at a bad moment. The consumer is then replaced."""


Records = dict[TopicPartition, list[ConsumerRecord]]


@dataclass(frozen=True, slots=True)
class _End:
    """The end of a partition at a time: Unix milliseconds of the queue Redis, and seconds of the event loop."""

    offset: int
    time_ms: int
    noted_at_s: float


class Intake:
    """One member of the consumer group.

    A partition whose messages do not fit into the queue Redis is paused while the others are read on.
    """

    def __init__(
        self, staging: Staging, admission: Admission, settings: Settings, metrics: IntakeMetrics, watch: KafkaWatch
    ) -> None:
        self._staging = staging
        self._admission = admission
        self._settings = settings
        self._metrics = metrics
        self._watch = watch
        self._batch = asyncio.Lock()
        self._resume_at_s: dict[TopicPartition, float] = {}
        self._ends: dict[TopicPartition, _End] = {}
        self._progress_at_s: dict[TopicPartition, float] = {}
        self._swept_at_s = 0.0
        self._careful_until: dict[TopicPartition, int] = {}
        # An edge that is alive has produced a job's message, or given up, by this long after the job's record.
        self._margin_s = (settings.kafka_timeout_ms + settings.queue_timeout_ms) / 1000 + SWEEP_SLACK_S

    async def run(self) -> None:
        """Read messages until cancelled, then leave the group."""
        while True:
            consumer = kafka_consumer(self._settings)
            self._resume_at_s, self._progress_at_s, self._ends, self._careful_until = {}, {}, {}, {}
            self._reader = CarefulReader(partial(self._skipped, consumer))
            try:
                consumer.subscribe([self._settings.kafka_topic], listener=_Handover(self._batch))
                await self._start(consumer)
                async with self._watch.watching(consumer):
                    while True:
                        async with asyncio.timeout(ROUND_TIMEOUT_S):
                            await self._read_once(consumer)
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("intake_interrupted", error=str(error) or type(error).__name__)
            finally:
                await close_kafka(consumer)
            await asyncio.sleep(RETRY_DELAY_S)

    async def _start(self, consumer: AIOKafkaConsumer) -> None:
        try:
            async with asyncio.timeout(ROUND_TIMEOUT_S):
                await consumer.start()
        except (KafkaError, OSError, TimeoutError) as error:
            self._watch.failed(error)
            raise

    async def _read_once(self, consumer: AIOKafkaConsumer) -> None:
        self._resume(consumer)
        found = await self._next_records(consumer)
        self._watch.admitting(found)
        async with self._batch:
            for partition, records in found.items():
                await self._admit(consumer, partition, records)
        self._watch.admitting({})
        await self._check_progress(consumer)

    async def _next_records(self, consumer: AIOKafkaConsumer) -> Records:
        """The next messages by partition. While one of them cannot be decoded, they are read one by one."""
        if not self._careful_until:
            try:
                found: Records = await consumer.getmany(timeout_ms=POLL_TIMEOUT_MS, max_records=MAX_RECORDS)
                return found
            except Exception as error:
                if not is_undecodable(error):
                    raise
                log.warning("message_not_decoded", error=excerpt(f"{type(error).__name__}: {error}"))
            await self._begin_careful_reading(consumer)
        return await self._read_carefully(consumer)

    async def _begin_careful_reading(self, consumer: AIOKafkaConsumer) -> None:
        """Go back to what was committed, because the read that failed has lost messages of any partition."""
        assigned = consumer.assignment()
        self._careful_until = await consumer.end_offsets(assigned)
        for partition, first in (await consumer.beginning_offsets(assigned)).items():
            committed = await consumer.committed(partition)
            consumer.seek(partition, first if committed is None else committed)

    async def _read_carefully(self, consumer: AIOKafkaConsumer) -> Records:
        found = {}
        for partition, end in list(self._careful_until.items()):
            if partition not in consumer.assignment() or await consumer.position(partition) >= end:
                del self._careful_until[partition]
            elif partition not in self._resume_at_s:
                found[partition] = await self._reader.read(consumer, partition, MAX_CAREFULLY_READ)
        return {partition: records for partition, records in found.items() if records}

    async def _skipped(self, consumer: AIOKafkaConsumer, partition: TopicPartition, offset: int) -> None:
        self._metrics.messages.labels("undecodable").inc()
        await _commit(consumer, partition, offset + 1)

    async def _admit(
        self, consumer: AIOKafkaConsumer, partition: TopicPartition, records: Sequence[ConsumerRecord]
    ) -> None:
        """Admit records of one partition and commit them. The partition is paused where some of them do not fit."""
        self._progress_at_s[partition] = asyncio.get_running_loop().time()
        try:
            processed = await self._admission.admit(records)
        except Unavailable as error:
            log.warning("intake_delayed", partition=partition.partition, error=str(error))
            processed = 0
        if processed:
            await _commit(consumer, partition, records[processed - 1].offset + 1)
        if processed < len(records) and partition in consumer.assignment():
            consumer.seek(partition, records[processed].offset)
            consumer.pause(partition)
            self._resume_at_s[partition] = asyncio.get_running_loop().time() + RETRY_DELAY_S

    def _resume(self, consumer: AIOKafkaConsumer) -> None:
        now_s = asyncio.get_running_loop().time()
        for partition in [partition for partition, at_s in self._resume_at_s.items() if at_s <= now_s]:
            del self._resume_at_s[partition]
            if partition in consumer.assignment():
                consumer.resume(partition)

    async def _check_progress(self, consumer: AIOKafkaConsumer) -> None:
        """Note up to which time each partition has been read.

        Raises TimeoutError if a partition is no longer read although it could be.
        """
        try:
            await self._note_ends(consumer)
            for partition, end in list(self._ends.items()):
                if partition not in consumer.assignment():
                    del self._ends[partition]
                elif await consumer.position(partition) >= end.offset:
                    await self._staging.note_read_until(partition.partition, end.time_ms)
                    del self._ends[partition]
                elif self._is_stuck(partition, end):
                    raise TimeoutError(f"partition {partition.partition} is not read any further")
        except QueueUnavailable as error:
            log.warning("intake_delayed", error=str(error))

    def _is_stuck(self, partition: TopicPartition, end: _End) -> bool:
        """Whether messages that could be admitted are not read, as when aiokafka's fetcher task has died."""
        now_s = asyncio.get_running_loop().time()
        since_s = max(end.noted_at_s, self._progress_at_s.get(partition, 0.0))
        return partition not in self._resume_at_s and now_s - since_s > STUCK_AFTER_S

    async def _note_ends(self, consumer: AIOKafkaConsumer) -> None:
        """Every `SWEEP_INTERVAL_S`: note where partitions end now, and cancel the jobs that have no message."""
        now_s = asyncio.get_running_loop().time()
        assigned = consumer.assignment()
        if now_s < self._swept_at_s + SWEEP_INTERVAL_S or not assigned:
            return
        self._swept_at_s = now_s
        time_ms = await self._staging.now_ms()
        for partition, end in (await consumer.end_offsets(assigned)).items():
            self._ends.setdefault(partition, _End(end, time_ms, now_s))
        partitions = consumer.partitions_for_topic(self._settings.kafka_topic) or ()
        if partitions:
            self._metrics.swept.inc(await self._staging.sweep(len(partitions), self._margin_s))


class _Handover(ConsumerRebalanceListener):  # type: ignore[misc]
    """Gives partitions away between two batches, so that the next member begins where this one ended."""

    def __init__(self, batch: asyncio.Lock) -> None:
        self._batch = batch

    async def on_partitions_revoked(self, revoked: object) -> None:
        """Wait for the current batch, but not for long: messages that are read twice are skipped."""
        with suppress(TimeoutError):
            async with asyncio.timeout(HANDOVER_TIMEOUT_S):
                async with self._batch:
                    pass

    async def on_partitions_assigned(self, assigned: object) -> None:
        """Do nothing: the consumer begins at the committed offsets."""


async def _commit(consumer: AIOKafkaConsumer, partition: TopicPartition, offset: int) -> None:
    try:
        await consumer.commit({partition: offset})
    except KafkaError as error:  # the partition has another reader now, which skips what is in the flows already
        log.info("offset_not_committed", partition=partition.partition, error=str(error) or type(error).__name__)
