"""Refill: requests that were left on Kafka's disk are fetched when their flows have room for them."""

import asyncio
from collections.abc import Mapping, Sequence
from itertools import groupby

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from app.errors import QueueUnavailable
from app.jobs.model import encode_request
from app.queue.kafka.clients import close_kafka, kafka_reader
from app.queue.kafka.messages import RecordedJob, UnreadableMessage, read_message
from app.queue.kafka.staging import Place, Staging, ToFetch
from app.settings import Settings
from consumers.metrics import WorkerMetrics

log = structlog.get_logger()

IDLE_S = 0.2
RETRY_DELAY_S = 0.5
WITHIN_S = 5.0
READ_TIMEOUT_MS = 2000
TURN_WITHIN_S = 30.0
GAP = 200
"""Messages that are not next_to_fetch, and yet quicker read than passed over."""


class Refill:
    """Fetches what flows want, from whichever partition; every worker does, each for other flows."""

    def __init__(self, staging: Staging, settings: Settings, metrics: WorkerMetrics) -> None:
        self._staging = staging
        self._settings = settings
        self._metrics = metrics

    async def run(self) -> None:
        """Fetch and load as there is room; runs until cancelled."""
        while True:
            consumer = kafka_reader(self._settings)
            try:
                async with asyncio.timeout(TURN_WITHIN_S):
                    await consumer.start()
                while True:
                    async with asyncio.timeout(TURN_WITHIN_S):
                        wait_s = await self._turn(consumer)
                    await asyncio.sleep(wait_s)
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("loading_interrupted", error=str(error) or type(error).__name__)
            finally:
                await close_kafka(consumer)
            await asyncio.sleep(RETRY_DELAY_S)

    async def _turn(self, consumer: AIOKafkaConsumer) -> float:
        """How long there is nothing to do."""
        waits = [IDLE_S]
        try:
            for partition in range(self._settings.queue_partitions):
                wait_s, next_to_fetch = await self._staging.next_to_fetch(partition, WITHIN_S)
                if next_to_fetch:
                    await self._load(next_to_fetch, await read(consumer, self._settings.kafka_topic, next_to_fetch))
                    waits.append(0.0)
                elif wait_s is not None:
                    waits.append(wait_s)
        except QueueUnavailable as error:
            log.warning("loading_waits", error=str(error))
            return RETRY_DELAY_S
        return min(waits)

    async def _load(self, next_to_fetch: Sequence[ToFetch], found: Mapping[Place, ConsumerRecord]) -> None:
        for flow, of_flow in groupby(next_to_fetch, key=lambda one: one.flow):
            requests = [(one.job_id, self._stored(found.get(one.place))) for one in of_flow]
            loaded, lost = await self._staging.refill(flow, requests)
            self._metrics.loaded.inc(loaded)
            if lost:
                log.error("requests_lost", flow=flow, jobs=lost, advice="the topic kept them for too short a time")

    def _stored(self, record: ConsumerRecord | None) -> bytes | None:
        if record is None:
            return None
        try:
            message = read_message(record.headers, record.value, self._settings.queue_partitions)
            return message.stored if isinstance(message, RecordedJob) else encode_request(message.request(()))
        except UnreadableMessage:  # the topic was made anew, and another message is there now
            return None


async def read(consumer: AIOKafkaConsumer, topic: str, next_to_fetch: Sequence[ToFetch]) -> dict[Place, ConsumerRecord]:
    """The messages at these places, without those that Kafka no longer has. Raises KafkaError, TimeoutError."""
    found: dict[Place, ConsumerRecord] = {}
    for number in sorted({one.place.partition for one in next_to_fetch}):
        partition = TopicPartition(topic, number)
        consumer.assign([partition])
        offsets = {one.place.offset for one in next_to_fetch if one.place.partition == number}
        first = (await consumer.beginning_offsets([partition]))[partition]
        for record in await _read(consumer, partition, {offset for offset in offsets if offset >= first}):
            found[Place(number, record.offset)] = record
    return found


async def _read(consumer: AIOKafkaConsumer, partition: TopicPartition, left: set[int]) -> list[ConsumerRecord]:
    found: list[ConsumerRecord] = []
    position = -GAP
    while left:
        if min(left) - position >= GAP:
            consumer.seek(partition, min(left))
        try:
            records = (await consumer.getmany(partition, timeout_ms=READ_TIMEOUT_MS)).get(partition, [])
        except OffsetOutOfRangeError:  # beyond its end: this is another topic of the same name
            return found
        if not records:
            raise TimeoutError("Kafka does not answer.")
        position = records[-1].offset + 1
        found += [record for record in records if record.offset in left]
        left = {offset for offset in left if offset >= position}
    return found
