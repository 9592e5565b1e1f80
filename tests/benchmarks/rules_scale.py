"""How rules scale: the time to copy them, their memory, the time of a decision, and a burst of changes."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from pymongo import InsertOne, UpdateOne
from redis.asyncio import Redis

from app.clients import MongoDatabase, cache_redis, counter_scripts, mongodb
from app.decision import quotas_of
from app.identity.caller import Caller
from app.limiter.redis_limiter import RedisLimiter
from app.redis_wire.scripts import Scripts
from app.rules.cache import RuleCache
from app.settings import Settings
from sync.publisher import Publisher
from sync.watcher import SyncMetrics, Watcher
from tests.benchmarks import stores
from tests.benchmarks.plan import Plan
from tests.benchmarks.processes import Cores, pin
from tests.benchmarks.progress import log_progress
from tests.benchmarks.samples import TargetCheck
from tests.benchmarks.table import show_table, show_targets

BATCH = 10_000
DECISIONS = 3_000
BURST = 10_000
AT_REST_S = 0.05
"""CPU seconds per second below which this process counts as idle."""


async def fill(database: MongoDatabase, rules: int) -> None:
    await database["rules"].delete_many({})
    for first in range(0, rules, BATCH):
        some = range(first, min(first + BATCH, rules))
        await database["rules"].bulk_write([InsertOne(document(i)) for i in some], ordered=False)


def document(number: int) -> dict[str, Any]:
    return {
        "_id": f"r{number}",
        "key_type": "user",
        "key_value": f"u{number}",
        "limit": 1_000_000,
        "window_seconds": 60,
    }


@asynccontextmanager
async def syncing(database: MongoDatabase, redis: Redis, settings: Settings) -> AsyncIterator[float]:
    """Run sync. Yields the duration of the first copy in seconds."""
    stop, ready = asyncio.Event(), asyncio.Event()
    watcher = Watcher(database, Publisher(redis), settings, SyncMetrics(CollectorRegistry()))
    start = time.monotonic()
    task = asyncio.create_task(watcher.run(stop, ready))
    await ready.wait()
    try:
        yield time.monotonic() - start
    finally:
        stop.set()
        await task


async def at_rest() -> None:
    """Wait until sync, which runs in this process, has finished the work that follows a copy."""
    used_s = 1.0
    while used_s > AT_REST_S:
        before = time.process_time()
        await asyncio.sleep(1)
        used_s = time.process_time() - before


async def decision_us(rules: RuleCache, counting: Scripts, count: int) -> tuple[float, float, float]:
    """Median microseconds of a PING, of a decision whose rules are in memory, and of one whose rules are not.

    They are measured in turn.
    """
    limiter = RedisLimiter(counting)
    ping: list[float] = []
    known: list[float] = []
    new: list[float] = []

    async def decide(caller: Caller) -> None:
        matches = await rules.applicable(caller, "GET", ("/",))
        await limiter.decide(quotas_of(matches).charges)

    async def took(what: Awaitable[Any], times: list[float]) -> None:
        start = time.perf_counter()
        await what
        times.append((time.perf_counter() - start) * 1e6)

    for i in range(DECISIONS):
        caller = Caller(f"u{i % count}", "iss", {}, "10.0.0.1")
        await took(decide(caller), new)
        await took(decide(caller), known)
        await took(counting.execute("", "PING"), ping)
    return statistics.median(ping), statistics.median(known), statistics.median(new)


async def burst_s(database: MongoDatabase, rules: RuleCache, count: int) -> float:
    """The seconds until the last of a burst of changes is in force."""
    changes = [UpdateOne({"_id": f"r{i % count}"}, {"$set": {"limit": 7 + i}}) for i in range(BURST)]
    last = (BURST - 1) % count
    start = time.monotonic()
    await database["rules"].bulk_write(changes, ordered=True)
    caller = Caller(f"u{last}", "iss", {}, "10.0.0.1")
    while (await rules.applicable(caller, "GET", ("/",)))[0].rule.rule.limit != 7 + BURST - 1:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    return time.monotonic() - start


@dataclass(frozen=True)
class RulesResult:
    """The measurements with one number of rules."""

    rules: int
    copied_s: float
    memory_mb: float
    ping_us: float
    known_us: float
    new_us: float
    burst_s: float

    @property
    def known(self) -> float:
        """The time of a decision divided by that of a PING, since the speed of the machine changes both."""
        return self.known_us / self.ping_us


async def measure(database: MongoDatabase, redis: Redis, settings: Settings, size: int) -> RulesResult:
    """Measure everything with this many rules."""
    await fill(database, size)
    await redis.flushall()
    await database["sync_state"].delete_many({})
    async with syncing(database, redis, settings) as copied_s:
        memory = (await redis.info("memory"))["used_memory"] / 1e6
        rules, stop = RuleCache(redis, settings), asyncio.Event()
        following = asyncio.create_task(rules.run(stop))
        counting = counter_scripts(settings, settings.cache_timeout_ms)
        await at_rest()
        ping_us, known_us, new_us = await decision_us(rules, counting, size)
        await counting.aclose()
        took_s = await burst_s(database, rules, size)
        stop.set()
        await following
    return RulesResult(size, copied_s, memory, ping_us, known_us, new_us, took_s)


async def bench(place: Path, cores: Cores, plan: Plan) -> None:
    """Measure with each number of rules, and print the table."""
    async with stores.documents_only(place) as documents, stores.cache_only(place) as (cache, pid):
        pin(pid, cores.server)
        settings = Settings(
            mongodb_url=documents, cache_redis_url=cache, cache_timeout_ms=60_000, sync_full_interval_s=3600
        )
        client, redis = mongodb(settings), cache_redis(settings)
        found = []
        for size in plan.rules:
            found.append(await measure(client[settings.mongodb_database], redis, settings, size))
            log_progress(f"{found[-1]}")
        client.close()
        await redis.aclose()
    head = (
        "rules",
        "copied in",
        "memory",
        "a PING",
        "a decision",
        "in PINGs",
        "with rules to read",
        f"{BURST:,} changes in force after",
    )
    rows = [
        [
            f"{one.rules:,}",
            f"{one.copied_s:.1f} s",
            f"{one.memory_mb:.1f} MB",
            f"{one.ping_us:.0f} us",
            f"{one.known_us:.0f} us",
            f"{one.known:.2f}",
            f"{one.new_us:.0f} us",
            f"{one.burst_s:.1f} s",
        ]
        for one in found
    ]
    show_table("Rules", head, rows)
    what = f"a decision among {found[-1].rules:,} rules / {found[0].rules:,}"
    show_targets([TargetCheck(what, found[-1].known / found[0].known, 1.1, at_least=False)])
