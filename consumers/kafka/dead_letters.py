"""Letters: dead outbox mark_published to a topic, where a person can read them with kcat."""

import asyncio

import structlog

from app.errors import BodyTooLarge, QueueUnavailable
from app.queue.kafka.messages import CURRENT, VERSION
from app.queue.kafka.producer import Producer
from app.queue.kafka.staging import OutboxEntry, Staging
from app.settings import Settings

log = structlog.get_logger()

POLL_INTERVAL_S = 0.5
WITHIN_S = 10.0


async def publish_periodically(staging: Staging, producer: Producer, settings: Settings) -> None:
    """Produce what no worker has mark_published yet, at least once each; runs until cancelled."""
    while True:
        for partition in range(settings.queue_partitions):
            try:
                for letter in await staging.outbox(partition, WITHIN_S):
                    await _publish(letter, producer, settings.kafka_dead_letter_topic)
                    await staging.mark_published(letter)
            except QueueUnavailable as error:
                log.warning("letters_wait", error=str(error))
        await asyncio.sleep(POLL_INTERVAL_S)


async def _publish(letter: OutboxEntry, producer: Producer, topic: str) -> None:
    rule, _, _ = letter.flow.partition("|")
    headers = {
        VERSION: CURRENT.decode(),
        "job": letter.job_id,
        "rule": rule,
        "flow": letter.flow,
        "attempts": str(letter.attempts),
        "reason": letter.code,
        "message": letter.message,
    }
    encoded = [(name, value.encode()) for name, value in headers.items()]
    try:
        await producer.produce(topic, letter.flow.encode(), letter.request, encoded)
    except BodyTooLarge:
        await producer.produce(topic, letter.flow.encode(), b"", encoded)
