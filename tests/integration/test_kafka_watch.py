"""How far an intake is behind, on a real broker, as a worker's heartbeat says it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from redis.asyncio import Redis

from app.admin.services.kafka_reading import kafka_status
from app.admin.services.status_model import TopicStatus
from app.process.heartbeat import Heartbeat
from app.queue.kafka.messages import CURRENT, VERSION
from app.settings import Settings
from consumers.intake import IntakeReport
from consumers.kafka import watch
from tests.support.kafka_in_process import Kafka, kafka_parts
from tests.support.waiting import eventually

pytestmark = pytest.mark.kafka

SUBMITTED = json.dumps({"rule_id": "r", "descriptor": "user:u", "method": "GET", "target": "/"}).encode()
"""A message of another producer, for which the intake needs the rule."""


@pytest.fixture
async def kafka(kafka_settings: Settings, cache: Redis, queue: Redis) -> AsyncIterator[Kafka]:
    async with kafka_parts(kafka_settings, cache, queue) as kafka:
        await kafka.publish_rule()
        yield kafka


async def test_lag_is_what_is_not_in_the_flows_yet(kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages that are read again and again, because the rules are not known, count all the time."""
    monkeypatch.setattr(watch, "LOOK_INTERVAL_S", 0.05)
    report, partitions = IntakeReport(), kafka.settings.kafka_partitions

    async def behind_by(count: int) -> bool:
        found = kafka_status([Heartbeat("w", 1.0, report.read())])
        wanted = TopicStatus(
            topic=kafka.settings.kafka_topic, lag=count, partitions=partitions, partitions_read=partitions
        )
        return bool(found) and found[0].reachable and found[0].topics == [wanted]

    async with kafka.intake(report):
        await eventually(lambda: behind_by(0), 30, "nothing waits")
        await kafka.cache.flushdb()
        for _ in range(7):
            await kafka.producer.produce(kafka.settings.kafka_topic, b"k", SUBMITTED, [(VERSION, CURRENT)])
        await eventually(lambda: behind_by(7), 30, "all wait")
        for _ in range(20):
            assert await behind_by(7), "also while they are read once more"
            await asyncio.sleep(0.1)
        await kafka.publish_rule()
        await kafka.counted("resident", 7)
        await eventually(lambda: behind_by(0), 30, "all are in their flows")


async def test_each_partition_is_counted_once_however_many_workers_read(
    kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "LOOK_INTERVAL_S", 0.05)
    reports = [IntakeReport() for _ in range(kafka.settings.kafka_partitions + 1)]

    def said() -> list[Heartbeat]:
        return [Heartbeat(f"w{number}", 0.1 * number, one.read()) for number, one in enumerate(reports)]

    async def all_answer() -> bool:
        each_one = all(one.said.get("kafka", {"problem": "none yet"})["problem"] is None for one in said())
        read = [found.topics[0].partitions_read for found in kafka_status(said())]
        return each_one and read == [kafka.settings.kafka_partitions]

    async with AsyncExitStack() as running:
        for report in reports:
            await running.enter_async_context(kafka.intake(report))
        await eventually(all_answer, 60, "also the worker without a partition is answered")
        [found] = kafka_status(said())
        assert (found.reachable, found.problems, found.topics[0].lag) == (True, [], 0)
