"""What a worker knows of Kafka for operators: whether it answers, and how many messages the intake has yet to admit."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError

from app.process.lifecycle import cancel
from app.web.excerpt import one_line

LOOK_INTERVAL_S = 2.0
ANSWER_WITHIN_S = 3.0
SILENT_AFTER_S = 10.0
"""Kafka is not reachable if nothing has been answered for so long, whatever the reason is."""


class KafkaWatch:
    """Asks Kafka every `LOOK_INTERVAL_S` where the partitions end that this worker reads.

    It asks in a task of its own, so that neither the intake nor a heartbeat waits for the answer.
    """

    def __init__(self, topic: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._topic = topic
        self._clock = clock
        self._answered_at_s = clock()
        self._has_answered = False
        self._problem: str | None = None
        self._lag: Mapping[int, int] = {}
        self._partitions: int | None = None
        self._in_hand: Mapping[TopicPartition, int] = {}

    def report(self) -> Mapping[str, Any]:
        """Return what a heartbeat says: nothing before the first answer or failure."""
        silent_s = self._clock() - self._answered_at_s
        problem = self._problem
        if problem is None and silent_s > SILENT_AFTER_S:
            problem = f"it has not answered for {silent_s:.0f} s"
        if problem is None and not self._has_answered:
            return {}
        lag = {} if problem else {str(number): lag for number, lag in self._lag.items()}
        return {"kafka": {"topic": self._topic, "partitions": self._partitions, "problem": problem, "lag": lag}}

    def failed(self, error: Exception) -> None:
        """Note that Kafka cannot be reached, until it answers again."""
        self._problem = one_line(error) or f"it has not answered within {ANSWER_WITHIN_S:g} s"

    def admitting(self, records: Mapping[TopicPartition, Sequence[ConsumerRecord]]) -> None:
        """Note which records have been read and are not in their flows yet: none of these is behind the intake."""
        self._in_hand = {partition: some[0].offset for partition, some in records.items() if some}

    @asynccontextmanager
    async def watching(self, consumer: AIOKafkaConsumer) -> AsyncIterator[None]:
        """Look at the partitions of a consumer that has been started, while the body of the `with` statement runs."""
        self._in_hand = {}
        looking = asyncio.create_task(self._look_periodically(consumer))
        try:
            yield
        finally:
            await cancel([looking])

    async def _look_periodically(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            try:
                async with asyncio.timeout(ANSWER_WITHIN_S):
                    await self._look(consumer)
            except (KafkaError, OSError, TimeoutError) as error:
                self.failed(error)
            await asyncio.sleep(LOOK_INTERVAL_S)

    async def _look(self, consumer: AIOKafkaConsumer) -> None:
        """Raises KafkaError, OSError and TimeoutError."""
        assigned = consumer.assignment()
        # A member of the group that has no partition asks for the end of any, to know that Kafka answers.
        ends = await consumer.end_offsets(assigned or {TopicPartition(self._topic, 0)})
        self._answered_at_s, self._has_answered, self._problem = self._clock(), True, None
        self._partitions = len(consumer.partitions_for_topic(self._topic) or ()) or None
        lag = {}
        for partition in assigned:
            with suppress(IllegalStateError):  # it has another reader now
                position = self._in_hand.get(partition)
                if position is None:
                    position = await consumer.position(partition)
                lag[partition.partition] = max(0, ends[partition] - position)
        self._lag = lag
