"""Publishes dead letters from the outbox in the queue Redis to a topic, where people can read them."""

import asyncio

import structlog

from app.errors import BodyTooLarge, QueueUnavailable
from app.queue.kafka.messages import CURRENT, VERSION
from app.queue.kafka.model import OutboxEntry
from app.queue.kafka.producer import Producer
from app.queue.kafka.staging import Staging
from app.settings import Settings

log = structlog.get_logger()

POLL_INTERVAL_S = 0.5
PUBLISH_TIMEOUT_S = 10.0
"""How long a worker has for a page of the outbox before others publish it too."""


async def publish_periodically(staging: Staging, producer: Producer, settings: Settings) -> None:
    """Publish every dead letter at least once, until cancelled."""
    while True:
        for partition in range(settings.queue_partitions):
            try:
                for entry in await staging.outbox(partition, PUBLISH_TIMEOUT_S):
                    await _publish(entry, producer, settings.kafka_dead_letter_topic)
                    await staging.mark_published(entry)
            except QueueUnavailable as error:
                log.warning("dead_letters_not_published", error=str(error))
        await asyncio.sleep(POLL_INTERVAL_S)


async def _publish(entry: OutboxEntry, producer: Producer, topic: str) -> None:
    """Produce the message of a dead letter, without its request where that is too large."""
    headers = _headers(entry)
    try:
        await producer.produce(topic, entry.flow.encode(), entry.request, headers)
    except BodyTooLarge:
        await producer.produce(topic, entry.flow.encode(), b"", headers)


def _headers(entry: OutboxEntry) -> list[tuple[str, bytes]]:
    rule_id, _, _ = entry.flow.partition("|")
    headers = {
        VERSION: CURRENT.decode(),
        "job": entry.job_id,
        "rule": rule_id,
        "flow": entry.flow,
        "attempts": str(entry.attempts),
        "reason": entry.code,
        "message": entry.message,
    }
    return [(name, value.encode()) for name, value in headers.items()]
