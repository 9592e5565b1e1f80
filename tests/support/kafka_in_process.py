"""The Kafka parts of an edge and of a worker, in the test's own process."""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from app.clients import queue_scripts
from app.jobs.model import Job
from app.process.lifecycle import cancel
from app.queue.flows import Flows
from app.queue.kafka.clients import kafka_reader
from app.queue.kafka.producer import Producer
from app.queue.kafka.queue import KafkaQueue
from app.queue.kafka.staging import Staging
from app.queue.records import view
from app.redis_wire.scripts import Scripts
from app.rules import keys
from app.rules.active import encode_active
from app.rules.cache import RuleCache
from app.settings import Settings
from consumers.intake import IntakeParts, IntakeReport
from consumers.kafka.run import run_kafka_intake
from tests.support.flow_steps import active
from tests.support.waiting import eventually


@dataclass(frozen=True)
class Kafka:
    """A queue on a real broker, and what a test may look at."""

    settings: Settings
    flows: Flows
    staging: Staging
    producer: Producer
    queue: KafkaQueue
    cache: Redis
    redis: Redis
    scripts: Scripts
    registries: list[CollectorRegistry] = field(default_factory=list)
    """The metrics of each intake that ran."""

    @asynccontextmanager
    async def intake(self, report: IntakeReport | None = None) -> AsyncIterator[asyncio.Task[None]]:
        """Run a worker's Kafka tasks, which say in `report` how Kafka is."""
        self.registries.append(CollectorRegistry(auto_describe=True))
        rules = RuleCache(self.cache, self.settings)
        parts = IntakeParts(
            self.cache, self.redis, self.scripts, rules, self.settings, self.registries[-1], report or IntakeReport()
        )
        running = asyncio.create_task(run_kafka_intake(parts))
        try:
            yield running
        finally:
            await cancel([running])
            if not running.cancelled():
                running.result()

    async def publish_rule(self, **fields: Any) -> None:  # noqa: ANN401
        """Write a rule into the cache Redis."""
        rule = active(**fields)
        bucket = keys.bucket("user", "*")
        await self.cache.set(bucket, orjson.dumps([encode_active(rule.rule, rule.revision)]))
        state = {"revision": rule.revision, "bucket": bucket, "digest": ""}
        await self.cache.hset(keys.STATE, rule.rule_id, orjson.dumps(state).decode())
        await self.cache.set(keys.VERSION, 1)

    async def job(self, job_id: str) -> Job:
        job = await view(self.scripts, job_id)
        assert job is not None
        return job

    async def written(self, topic: str, count: int, within_s: float = 30.0) -> list[ConsumerRecord]:
        """The messages of a topic, once there are `count` of them."""
        consumer: AIOKafkaConsumer = kafka_reader(self.settings)
        await consumer.start()
        found: list[ConsumerRecord] = []
        try:
            partitions = [TopicPartition(topic, number) for number in range(self.settings.kafka_partitions)]
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)

            async def enough() -> bool:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found.extend(records)
                return len(found) >= count

            await eventually(enough, within_s, f"{count} messages in {topic}")
        finally:
            await consumer.stop()
        return found

    async def in_flows(self, ids: Sequence[str], within_s: float = 30.0) -> None:
        """Wait until the requests of these jobs are in their flows."""

        async def resident() -> bool:
            records = await self.redis.mget([f"{{q0}}:job:{job_id}" for job_id in ids])
            return all(b"\n" in (record or b"") for record in records)  # a header line, then the request

        await eventually(resident, within_s, "all are in their flows")

    def intake_count(self, outcome: str) -> float:
        """How many messages had this outcome, in all intakes."""
        labels = {"outcome": outcome}
        return sum(each.get_sample_value("penstock_intake_total", labels) or 0.0 for each in self.registries)

    async def counted(self, outcome: str, count: int, within_s: float = 30.0) -> None:
        """Wait until so many messages had this outcome: an intake counts them after it has dealt with them."""

        async def reached() -> bool:
            return self.intake_count(outcome) >= count

        await eventually(reached, within_s, f"{count} messages are counted as {outcome}")
        assert self.intake_count(outcome) == count


@asynccontextmanager
async def kafka_parts(settings: Settings, cache: Redis, redis: Redis) -> AsyncIterator[Kafka]:
    """A queue that is connected to Kafka."""
    scripts = queue_scripts(settings)
    flows, staging = Flows(redis, scripts, settings), Staging(redis, scripts, settings)
    producer = Producer(settings)
    await flows.prepare()
    queue = KafkaQueue(flows, staging, producer, settings)
    running = asyncio.create_task(queue.run())
    try:
        await eventually(_is(lambda: producer.is_ready), 60, "Kafka is reached")
        yield Kafka(settings, flows, staging, producer, queue, cache, redis, scripts)
    finally:
        await cancel([running])
        await scripts.aclose()
        gc.collect()  # sockets that aiokafka left open are collected in this test, which ignores the warning for them


def _is(condition: Callable[[], bool]) -> Callable[[], Awaitable[bool]]:
    async def holds() -> bool:
        return condition()

    return holds
