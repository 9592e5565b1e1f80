"""Runs a worker's Kafka tasks: intake, refill and the dead-letter outbox."""

import asyncio

import structlog
from redis.asyncio import Redis

from app.errors import RulesUnavailable
from app.process.lifecycle import until_one_ends
from app.queue.kafka.producer import Producer
from app.queue.kafka.staging import Staging
from app.queue.kafka.topics import prepare_topics, require_retention
from app.rules.waits import longest_wait_s
from consumers.intake import IntakeParts
from consumers.kafka.admission import Admission
from consumers.kafka.dead_letters import publish_periodically
from consumers.kafka.intake import Intake
from consumers.kafka.metrics import IntakeMetrics
from consumers.kafka.refill import Refill
from consumers.kafka.watch import KafkaWatch

log = structlog.get_logger()

RETRY_DELAY_S = 1.0


async def run_kafka_intake(parts: IntakeParts) -> None:
    """Admit messages, refill flows and publish dead letters until cancelled. Raises StartupError."""
    settings, metrics = parts.settings, IntakeMetrics(parts.registry)
    watch = KafkaWatch(settings.kafka_topic)
    parts.report.read = watch.report
    retention_s = await prepare_topics(settings)
    require_retention(retention_s, await _longest_wait_s(parts.cache), settings)
    staging, producer = Staging(parts.queue, parts.scripts, settings), Producer(settings)
    admission = Admission(staging, parts.rules, producer, settings, metrics)
    await until_one_ends(
        producer.run(),
        Intake(staging, admission, settings, metrics, watch).run(),
        Refill(staging, settings, metrics).run(),
        publish_periodically(staging, producer, settings),
    )


async def _longest_wait_s(cache: Redis) -> float:
    """The longest `max_wait_seconds` of all rules, once the rules are known."""
    while True:
        try:
            return await longest_wait_s(cache)
        except RulesUnavailable as error:
            log.warning("rules_unavailable", error=str(error))
        await asyncio.sleep(RETRY_DELAY_S)
