"""The intake: messages from Kafka into the flows, in order, and only then committed."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from app.errors import QueueUnavailable, Unavailable
from app.queue.kafka.clients import close_kafka, kafka_consumer
from app.queue.kafka.staging import Staging
from app.settings import Settings
from consumers.kafka.admission import Admission
from consumers.metrics import WorkerMetrics

log = structlog.get_logger()

POLL_MS = 200
AT_ONCE = 500
RETRY_DELAY_S = 0.5
LOOK_EVERY_S = 5.0
SLACK_S = 5.0
STUCK_AFTER_S = 15.0
TURN_WITHIN_S = 30.0
"""Some of aiokafka's calls wait for ever where the broker went away in a bad moment: then all is begun anew."""


@dataclass(frozen=True, slots=True)
class _End:
    """Where a partition ended at a time: by the queue Redis' clock, and by the event loop's."""

    offset: int
    at_ms: int
    noted_at_s: float


class Intake:
    """One member of the group. Partitions for whose messages there is no room are paused; polling goes on."""

    def __init__(self, staging: Staging, admission: Admission, settings: Settings, metrics: WorkerMetrics) -> None:
        self._staging = staging
        self._admission = admission
        self._settings = settings
        self._metrics = metrics
        self._busy = asyncio.Lock()
        self._resume_at_s: dict[TopicPartition, float] = {}
        self._ends: dict[TopicPartition, _End] = {}
        self._moved_at_s: dict[TopicPartition, float] = {}
        self._looked_at_s = 0.0
        # An edge has answered by then: for its record and its message it has no more time.
        self._margin_s = (settings.kafka_timeout_ms + settings.queue_timeout_ms) / 1000 + SLACK_S

    async def run(self) -> None:
        """Read as long as there is Kafka; runs until cancelled, and then leaves the group."""
        while True:
            consumer = kafka_consumer(self._settings)
            self._resume_at_s, self._moved_at_s, self._ends = {}, {}, {}
            try:
                consumer.subscribe([self._settings.kafka_topic], listener=_Handover(self._busy))
                async with asyncio.timeout(TURN_WITHIN_S):
                    await consumer.start()
                while True:
                    async with asyncio.timeout(TURN_WITHIN_S):
                        await self._turn(consumer)
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("intake_interrupted", error=str(error) or type(error).__name__)
            finally:
                await close_kafka(consumer)
            await asyncio.sleep(RETRY_DELAY_S)

    async def _turn(self, consumer: AIOKafkaConsumer) -> None:
        self._resume(consumer)
        found = await consumer.getmany(timeout_ms=POLL_MS, max_records=AT_ONCE)
        async with self._busy:
            for partition, records in found.items():
                await self._take_in(consumer, partition, records)
        await self._look(consumer)

    async def _take_in(
        self, consumer: AIOKafkaConsumer, partition: TopicPartition, records: Sequence[ConsumerRecord]
    ) -> None:
        self._moved_at_s[partition] = asyncio.get_running_loop().time()
        try:
            done = await self._admission.admit(records)
        except Unavailable as error:
            log.warning("intake_waits", partition=partition.partition, error=str(error))
            done = 0
        if done:
            await _commit(consumer, partition, records[done - 1].offset + 1)
        if done < len(records) and partition in consumer.assignment():
            consumer.seek(partition, records[done].offset)
            consumer.pause(partition)
            self._resume_at_s[partition] = asyncio.get_running_loop().time() + RETRY_DELAY_S

    def _resume(self, consumer: AIOKafkaConsumer) -> None:
        now_s = asyncio.get_running_loop().time()
        for partition in [one for one, at_s in self._resume_at_s.items() if at_s <= now_s]:
            del self._resume_at_s[partition]
            if partition in consumer.assignment():
                consumer.resume(partition)

    async def _look(self, consumer: AIOKafkaConsumer) -> None:
        """Remember up to when each partition has been read, so that jobs without a message are found."""
        try:
            await self._note_ends(consumer)
            for partition, end in list(self._ends.items()):
                if partition not in consumer.assignment():
                    del self._ends[partition]
                elif await consumer.position(partition) >= end.offset:
                    await self._staging.caught_up(partition.partition, end.at_ms)
                    del self._ends[partition]
                elif self._is_stuck(partition, end):
                    raise TimeoutError(f"partition {partition.partition} does not go on")
        except QueueUnavailable as error:
            log.warning("intake_waits", error=str(error))

    def _is_stuck(self, partition: TopicPartition, end: "_End") -> bool:
        """Whether there is something to read, and room for it, and yet it is not read: aiokafka's fetcher may die."""
        now_s = asyncio.get_running_loop().time()
        since_s = max(end.noted_at_s, self._moved_at_s.get(partition, 0.0))
        return partition not in self._resume_at_s and now_s - since_s > STUCK_AFTER_S

    async def _note_ends(self, consumer: AIOKafkaConsumer) -> None:
        now_s = asyncio.get_running_loop().time()
        assigned = consumer.assignment()
        if now_s < self._looked_at_s + LOOK_EVERY_S or not assigned:
            return
        self._looked_at_s = now_s
        at_ms = await self._staging.now_ms()
        for partition, end in (await consumer.end_offsets(assigned)).items():
            self._ends.setdefault(partition, _End(end, at_ms, now_s))
        partitions = consumer.partitions_for_topic(self._settings.kafka_topic) or ()
        if partitions:
            self._metrics.swept.inc(await self._staging.sweep(len(partitions), self._margin_s))


class _Handover(ConsumerRebalanceListener):  # type: ignore[misc]
    """Partitions are given away between two batches, so that the next member begins where this one ended."""

    def __init__(self, busy: asyncio.Lock) -> None:
        self._busy = busy

    async def on_partitions_revoked(self, revoked: object) -> None:
        """Wait for the batch in hand, for a while: to read it twice does no harm."""
        with suppress(TimeoutError):
            async with asyncio.timeout(2):
                async with self._busy:
                    pass

    async def on_partitions_assigned(self, assigned: object) -> None:
        """Nothing to do: reading goes on where it was committed."""


async def _commit(consumer: AIOKafkaConsumer, partition: TopicPartition, offset: int) -> None:
    try:
        await consumer.commit({partition: offset})
    except KafkaError as error:  # it is someone else's now, who skips what is in its flow already
        log.info("not_committed", partition=partition.partition, error=str(error) or type(error).__name__)
