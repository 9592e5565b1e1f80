"""What a worker does beside draining where jobs come by way of Kafka."""

import asyncio

import structlog
from redis.asyncio import Redis

from app.errors import RulesUnavailable
from app.lua import Scripts
from app.process import until_one_ends
from app.queue.producing import Producing
from app.queue.topics import prepare_topics, require_retention
from app.queue.transit import Transit
from app.rules.cache import RuleCache
from app.rules.waits import longest_wait_s
from app.settings import Settings
from consumers.admission import Admission
from consumers.intake import Intake
from consumers.letters import tell_periodically
from consumers.loading import Loading
from consumers.metrics import Metrics

log = structlog.get_logger()

AGAIN_S = 1.0


async def run_by_kafka(
    cache: Redis, queue: Redis, queueing: Scripts, rules: RuleCache, settings: Settings, metrics: Metrics
) -> None:
    """Take messages in, load what was left behind, tell dead letters; runs until cancelled. Raises StartupError."""
    retention_s = await prepare_topics(settings)
    require_retention(retention_s, await _longest_wait_s(cache), settings)
    transit, producing = Transit(queue, queueing, settings), Producing(settings)
    admission = Admission(transit, rules, producing, settings, metrics)
    await until_one_ends(
        producing.run(),
        Intake(transit, admission, settings, metrics).run(),
        Loading(transit, settings, metrics).run(),
        tell_periodically(transit, producing, settings),
    )


async def _longest_wait_s(cache: Redis) -> float:
    """Once the rules are known."""
    while True:
        try:
            return await longest_wait_s(cache)
        except RulesUnavailable as error:
            log.warning("rules_away", error=str(error))
        await asyncio.sleep(AGAIN_S)
