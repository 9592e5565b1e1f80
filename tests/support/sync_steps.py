"""What tests of sync share: who follows the rules, and what applies to whom."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from app.clients import MongoDatabase, cache_redis
from app.errors import RulesUnavailable
from app.identity.caller import Caller
from app.rules.cache import RuleCache
from app.rules.match import Match
from app.settings import Settings
from sync.publisher import Publisher
from sync.watcher import SyncMetrics, Watcher
from tests.support.waiting import eventually

WITHIN_S = 20.0


@asynccontextmanager
async def following(settings: Settings) -> AsyncIterator[RuleCache]:
    redis = cache_redis(settings)
    rules, stop = RuleCache(redis, settings), asyncio.Event()
    task = asyncio.create_task(rules.run(stop))
    try:
        yield rules
    finally:
        stop.set()
        await task
        await redis.aclose()


@asynccontextmanager
async def syncing(database: MongoDatabase, redis: Redis, settings: Settings) -> AsyncIterator[SyncMetrics]:
    """One sync worker, from when it is ready."""
    metrics = SyncMetrics(CollectorRegistry())
    stop, ready = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(Watcher(database, Publisher(redis), settings, metrics).run(stop, ready))
    try:
        await asyncio.wait_for(ready.wait(), 30)
        yield metrics
    finally:
        stop.set()
        await asyncio.wait_for(task, 30)


def caller(subject: str = "u", **claims: str) -> Caller:
    return Caller(subject, "iss", claims, "10.1.2.3")


async def limits(rules: RuleCache, who: Caller) -> dict[str, int]:
    """The limits that apply, by rule; empty as long as rules are not known."""
    try:
        matches: tuple[Match, ...] = await rules.applicable(who, "GET", ("/",))
    except RulesUnavailable:
        return {"unavailable": 0}
    return {match.rule.rule_id: match.rule.policies[0].limit for match in matches}


async def until(rules: RuleCache, who: Caller, expected: dict[str, int]) -> float:
    async def as_expected() -> bool:
        return await limits(rules, who) == expected

    return await eventually(as_expected, WITHIN_S, str(expected))


def document(limit: int = 5, **fields: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"key_type": "user", "key_value": "u", "limit": limit, "window_seconds": 60} | fields
