"""What a worker does beside draining where jobs come by way of Kafka."""

import asyncio

import structlog
from redis.asyncio import Redis

from app.errors import RulesUnavailable
from app.process.lifecycle import until_one_ends
from app.queue.kafka.producer import Producer
from app.queue.kafka.staging import Staging
from app.queue.kafka.topics import prepare_topics, require_retention
from app.redis_wire.scripts import Scripts
from app.rules.cache import RuleCache
from app.rules.waits import longest_wait_s
from app.settings import Settings
from consumers.kafka.admission import Admission
from consumers.kafka.dead_letters import publish_periodically
from consumers.kafka.intake import Intake
from consumers.kafka.refill import Refill
from consumers.metrics import WorkerMetrics

log = structlog.get_logger()

RETRY_DELAY_S = 1.0


async def run_by_kafka(
    cache: Redis, queue: Redis, queueing: Scripts, rules: RuleCache, settings: Settings, metrics: WorkerMetrics
) -> None:
    """Take messages in, load what was left spilled, tell dead letters; runs until cancelled. Raises StartupError."""
    retention_s = await prepare_topics(settings)
    require_retention(retention_s, await _longest_wait_s(cache), settings)
    staging, producer = Staging(queue, queueing, settings), Producer(settings)
    admission = Admission(staging, rules, producer, settings, metrics)
    await until_one_ends(
        producer.run(),
        Intake(staging, admission, settings, metrics).run(),
        Refill(staging, settings, metrics).run(),
        publish_periodically(staging, producer, settings),
    )


async def _longest_wait_s(cache: Redis) -> float:
    """Once the rules are known."""
    while True:
        try:
            return await longest_wait_s(cache)
        except RulesUnavailable as error:
            log.warning("rules_away", error=str(error))
        await asyncio.sleep(RETRY_DELAY_S)
