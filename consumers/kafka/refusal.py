"""Refusal: copies messages that cannot be handled to the dead-letter topic, cut to what every topic takes."""

import structlog
from aiokafka import ConsumerRecord

from app.errors import BodyTooLarge
from app.queue.kafka.messages import CURRENT, VERSION
from app.queue.kafka.producer import Producer
from app.web.excerpt import excerpt
from consumers.kafka.metrics import IntakeMetrics

log = structlog.get_logger()

MAX_VALUE_BYTES = 512 << 10
"""Half of the largest message of a topic with Kafka's default settings. A longer value is cut."""

MAX_KEY_BYTES = 16 << 10
MAX_REASON_LENGTH = 1000


class Refusals:
    """Refuses messages of the jobs' topic. One that Kafka takes in no form is counted and logged with its offset."""

    def __init__(self, producer: Producer, topic: str, metrics: IntakeMetrics) -> None:
        self._producer = producer
        self._topic = topic
        self._metrics = metrics
        self._too_large: set[tuple[int, int]] = set()

    async def refuse(self, record: ConsumerRecord, reason: str) -> None:
        """Copy a message, so that its partition goes on. Raises QueueUnavailable."""
        place, reason = (record.partition, record.offset), excerpt(reason, MAX_REASON_LENGTH)
        key, value = record.key or b"", record.value or b""
        kept = (key[:MAX_KEY_BYTES], value[:MAX_VALUE_BYTES])
        try:
            if place in self._too_large:
                await self._copy(record, reason, (b"", b""))
            else:
                await self._copy(record, reason, kept)
            outcome = "refused"
        except BodyTooLarge:
            if place not in self._too_large:
                # The producer is replaced now and raises QueueUnavailable until then: the message comes again.
                self._too_large.add(place)
                return await self.refuse(record, reason)
            outcome = "dropped"
        self._too_large.discard(place)
        self._metrics.messages.labels(outcome).inc()
        log.warning(f"message_{outcome}", partition=record.partition, offset=record.offset, reason=excerpt(reason))
        return None

    async def _copy(self, record: ConsumerRecord, reason: str, kept: tuple[bytes, bytes]) -> None:
        key, value = kept
        headers = [
            (VERSION, CURRENT),
            ("reason", reason.encode("utf-8", "replace")),
            ("from", f"{record.topic} {record.partition} {record.offset}".encode()),
        ]
        if len(value) < len(record.value or b"") or len(key) < len(record.key or b""):
            headers.append(("cut", f"{len(record.key or b'')} {len(record.value or b'')}".encode()))
        await self._producer.produce(self._topic, key, value, headers)
