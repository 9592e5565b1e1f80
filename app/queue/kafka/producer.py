"""A producer that is there once Kafka is, and made anew when it is broken."""

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
START_WITHIN_S = 30.0
KEY_AND_HEADERS_BYTES = 4096


class Producer:
    """Produces messages, each acknowledged before it counts."""

    def __init__(self, settings: Settings, make: Callable[[Settings], AIOKafkaProducer] = kafka_producer) -> None:
        self._settings = settings
        self._make = make
        self._timeout_s = settings.kafka_timeout_ms / 1000
        self._most_bytes = max_message_bytes(settings) - KEY_AND_HEADERS_BYTES
        self._producer: AIOKafkaProducer | None = None
        self._broken = asyncio.Event()

    @property
    def is_ready(self) -> bool:
        """Whether Kafka was reached, and nothing is wrong with the producer."""
        return self._producer is not None

    async def run(self) -> None:
        """Keep a producer; runs until cancelled."""
        while True:
            producer = self._make(self._settings)
            try:
                async with asyncio.timeout(START_WITHIN_S):
                    await producer.start()
                self._broken.clear()
                self._producer = producer
                await self._broken.wait()
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("kafka_away", error=str(error))
            finally:
                self._producer = None
                await close_kafka(producer)
            await asyncio.sleep(RETRY_DELAY_S)

    async def produce(self, topic: str, key: bytes, value: bytes, headers: Sequence[tuple[str, bytes]]) -> None:
        """Returns once Kafka has it. Raises BodyTooLarge, and QueueUnavailable: it may have it, or get it later."""
        if len(value) > self._most_bytes:
            raise BodyTooLarge("The request is too large for Kafka.")
        if self._producer is None:
            raise QueueUnavailable("Kafka is away.")
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._producer.send_and_wait(topic, value, key=key, headers=list(headers))
        except TimeoutError as error:
            raise QueueUnavailable("Kafka did not acknowledge in time.") from error
        except KafkaError as error:
            # An idempotent producer numbers its messages: after one that was refused no later one would be accepted.
            self._broken.set()
            if isinstance(error, MessageSizeTooLargeError):
                raise BodyTooLarge("The request is larger than the topic allows.") from error
            raise QueueUnavailable(f"Kafka: {error}") from error
