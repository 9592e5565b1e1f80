"""Produces messages, through an aiokafka producer that is replaced when it fails."""

import asyncio
from collections.abc import Callable, Sequence

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from app.errors import BodyTooLarge, QueueUnavailable
from app.queue.kafka.clients import close_kafka, kafka_producer, max_message_bytes
from app.settings import Settings

log = structlog.get_logger()

RETRY_DELAY_S = 0.5
START_TIMEOUT_S = 30.0
KEY_AND_HEADERS_BYTES = 4096
"""How much of the largest message is left for its key and its headers."""


class Producer:
    """Produces messages and waits for the acknowledgement of each. `run` must be running."""

    def __init__(self, settings: Settings, make: Callable[[Settings], AIOKafkaProducer] = kafka_producer) -> None:
        self._settings = settings
        self._make = make
        self._timeout_s = settings.kafka_timeout_ms / 1000
        self._max_value_bytes = max_message_bytes(settings) - KEY_AND_HEADERS_BYTES
        self._producer: AIOKafkaProducer | None = None
        self._failed = asyncio.Event()

    @property
    def is_ready(self) -> bool:
        """Whether there is a connected producer that has not failed."""
        return self._producer is not None

    async def run(self) -> None:
        """Keep a connected producer until cancelled."""
        while True:
            producer = self._make(self._settings)
            try:
                async with asyncio.timeout(START_TIMEOUT_S):
                    await producer.start()
                self._failed.clear()
                self._producer = producer
                await self._failed.wait()
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("kafka_unavailable", error=str(error))
            finally:
                self._producer = None
                await close_kafka(producer)
            await asyncio.sleep(RETRY_DELAY_S)

    async def produce(self, topic: str, key: bytes, value: bytes, headers: Sequence[tuple[str, bytes]]) -> None:
        """Produce a message and return once all replicas have acknowledged it.

        Raises BodyTooLarge, and QueueUnavailable, after which Kafka may have the message or may still get it.
        """
        if len(value) > self._max_value_bytes:
            raise BodyTooLarge("The request is too large for a Kafka message.")
        if self._producer is None:
            raise QueueUnavailable("Kafka cannot be reached.")
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._producer.send_and_wait(topic, value, key=key, headers=list(headers))
        except TimeoutError as error:
            raise QueueUnavailable("Kafka did not acknowledge the message in time.", "timeout") from error
        except KafkaError as error:
            # An idempotent producer numbers its messages. After one was refused the broker accepts no later one.
            self._failed.set()
            if isinstance(error, MessageSizeTooLargeError):
                raise BodyTooLarge("The request is larger than the Kafka topic allows.") from error
            raise QueueUnavailable(f"Kafka: {error}") from error
