"""Reads a partition past messages that aiokafka cannot decode, such as one with a header name that is not UTF-8."""

from collections.abc import Awaitable, Callable

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import CorruptRecordException, KafkaError, UnsupportedCodecError

from app.web.excerpt import excerpt

log = structlog.get_logger()

TRIES = 3
"""How often a message is fetched before it is passed over: it may have been damaged on its way."""

READ_TIMEOUT_MS = 1000

OnSkipped = Callable[[TopicPartition, int], Awaitable[None]]
"""Called with the partition and the offset of a message that is passed over."""


def is_undecodable(error: Exception) -> bool:
    """Whether this error of a read says that a message cannot be decoded, and not that Kafka cannot be reached."""
    if isinstance(error, CorruptRecordException | UnsupportedCodecError):
        return True
    return not isinstance(error, KafkaError | OSError | TimeoutError)


class CarefulReader:
    """Reads one partition at a time and message by message, so that it is known which one cannot be decoded.

    aiokafka has no notion of such a message: a read raises, loses what it has read before, and finds the message again.
    """

    def __init__(self, on_skipped: OnSkipped) -> None:
        self._on_skipped = on_skipped
        self._tries: dict[TopicPartition, tuple[int, int]] = {}

    async def read(
        self, consumer: AIOKafkaConsumer, partition: TopicPartition, max_records: int
    ) -> list[ConsumerRecord]:
        """Up to `max_records` of the next messages, without those that are passed over; may be empty.

        Raises KafkaError, OSError and TimeoutError.
        """
        found: list[ConsumerRecord] = []
        while len(found) < max_records:
            try:
                records = (await consumer.getmany(partition, timeout_ms=READ_TIMEOUT_MS, max_records=1)).get(partition)
            except Exception as error:
                if not is_undecodable(error):
                    raise
                if not found:  # what was read before is dealt with first
                    await self._pass_over(consumer, partition, error)
                return found
            if not records:
                return found
            found += records
        return found

    async def _pass_over(self, consumer: AIOKafkaConsumer, partition: TopicPartition, error: Exception) -> None:
        """Let the next read fetch the message again, or the one behind it after so many tries."""
        offset: int = await consumer.position(partition)
        before, tries = self._tries.get(partition, (offset, 0))
        tries = tries + 1 if before == offset else 1
        self._tries[partition] = (offset, tries)
        if tries < TRIES:
            consumer.seek(partition, offset)
            return
        log.error(
            "message_not_decodable",
            partition=partition.partition,
            offset=offset,
            error=excerpt(f"{type(error).__name__}: {error}"),
        )
        del self._tries[partition]
        consumer.seek(partition, offset + 1)
        await self._on_skipped(partition, offset)
