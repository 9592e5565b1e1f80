"""Refill: fetches spilled requests from Kafka when their flows have room for them."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from app.errors import QueueUnavailable
from app.jobs.model import encode_request
from app.queue.kafka.clients import close_kafka, kafka_reader
from app.queue.kafka.messages import RecordedJob, UnreadableMessage, read_message
from app.queue.kafka.model import MessageLocation, SpilledJob
from app.queue.kafka.staging import Staging
from app.settings import Settings
from consumers.kafka.metrics import IntakeMetrics
from consumers.kafka.reading import CarefulReader, is_undecodable

log = structlog.get_logger()

POLL_INTERVAL_S = 0.2
RETRY_DELAY_S = 0.5
FETCH_TIMEOUT_S = 5.0
"""How long a worker has to fetch the requests of a flow before others fetch them too."""

READ_TIMEOUT_MS = 2000
ROUND_TIMEOUT_S = 30.0
SEEK_THRESHOLD = 200
"""From how many messages in between it is faster to seek to the next one than to read on."""


class Refill:
    """Fetches the next requests of flows from any partition. Every worker runs one; they share the flows."""

    def __init__(self, staging: Staging, settings: Settings, metrics: IntakeMetrics) -> None:
        self._staging = staging
        self._settings = settings
        self._metrics = metrics

    async def run(self) -> None:
        """Refill flows as they get room, until cancelled."""
        while True:
            consumer = kafka_reader(self._settings)
            try:
                async with asyncio.timeout(ROUND_TIMEOUT_S):
                    await consumer.start()
                while True:
                    async with asyncio.timeout(ROUND_TIMEOUT_S):
                        wait_s = await self._refill_all(consumer)
                    await asyncio.sleep(wait_s)
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("refill_interrupted", error=str(error) or type(error).__name__)
            finally:
                await close_kafka(consumer)
            await asyncio.sleep(RETRY_DELAY_S)

    async def _refill_all(self, consumer: AIOKafkaConsumer) -> float:
        """Refill the flows of each partition once, and return the seconds to wait before the next round."""
        waits_s = [POLL_INTERVAL_S]
        try:
            for partition in range(self._settings.queue_partitions):
                found = await self._staging.next_to_fetch(partition, FETCH_TIMEOUT_S)
                if found.jobs:
                    await self._refill(found.jobs, await _fetch(consumer, self._settings.kafka_topic, found.jobs))
                    waits_s.append(0.0)
                elif found.wait_s is not None:
                    waits_s.append(found.wait_s)
        except QueueUnavailable as error:
            log.warning("refill_delayed", error=str(error))
            return RETRY_DELAY_S
        return min(waits_s)

    async def _refill(self, jobs: Iterable[SpilledJob], records: Mapping[MessageLocation, ConsumerRecord]) -> None:
        for flow, of_flow in groupby(jobs, key=lambda job: job.flow):
            requests = [(job.job_id, self._stored(records.get(job.location))) for job in of_flow]
            result = await self._staging.refill(flow, requests)
            self._metrics.refilled.inc(result.resident)
            if result.lost:
                log.error("requests_lost", flow=flow, jobs=result.lost, advice="raise the topic's retention.ms")

    def _stored(self, record: ConsumerRecord | None) -> bytes | None:
        """The encoded request; None where Kafka no longer has it."""
        if record is None:
            return None
        try:
            message = read_message(record.headers, record.value, self._settings.queue_partitions)
            return message.stored if isinstance(message, RecordedJob) else encode_request(message.request(()))
        except UnreadableMessage:  # the topic was created anew, and another message is at this offset
            return None


async def _fetch(
    consumer: AIOKafkaConsumer, topic: str, jobs: Sequence[SpilledJob]
) -> dict[MessageLocation, ConsumerRecord]:
    """The messages of these jobs, without those that Kafka no longer has. Raises KafkaError and TimeoutError."""
    found: dict[MessageLocation, ConsumerRecord] = {}
    for number in sorted({job.location.partition for job in jobs}):
        partition = TopicPartition(topic, number)
        consumer.assign([partition])
        offsets = {job.location.offset for job in jobs if job.location.partition == number}
        first = (await consumer.beginning_offsets([partition]))[partition]
        for record in await _read(consumer, partition, {offset for offset in offsets if offset >= first}):
            found[MessageLocation(number, record.offset)] = record
    return found


async def _read(consumer: AIOKafkaConsumer, partition: TopicPartition, offsets: set[int]) -> list[ConsumerRecord]:
    """The records at these offsets of one partition, read in order."""
    found: list[ConsumerRecord] = []
    position, reader = -SEEK_THRESHOLD, CarefulReader(_ignore)
    while offsets:
        if min(offsets) - position >= SEEK_THRESHOLD:
            consumer.seek(partition, min(offsets))
        try:
            records = (await consumer.getmany(partition, timeout_ms=READ_TIMEOUT_MS)).get(partition, [])
        except OffsetOutOfRangeError:  # beyond the partition's end: the topic was created anew
            return found
        except Exception as error:
            if not is_undecodable(error):
                raise
            records = await reader.read(consumer, partition, SEEK_THRESHOLD)
            position = await consumer.position(partition)
            found += [record for record in records if record.offset in offsets]
            offsets = {offset for offset in offsets if offset >= position}
            continue
        if not records:
            raise TimeoutError("Kafka does not answer.")
        position = records[-1].offset + 1
        found += [record for record in records if record.offset in offsets]
        offsets = {offset for offset in offsets if offset >= position}
    return found


async def _ignore(_: TopicPartition, __: int) -> None:
    """The intake has counted the message that is passed over."""
