"""How rules scale: copying many, their memory, what a decision costs among them, a burst of changes.

    python -m tests.benchmarks.rules_scale [RULES...]

Starts a mongod and a redis-server of its own. Prints one line a size; the cost of a decision is shown as a ratio to
that of the first size.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorDatabase
from prometheus_client import CollectorRegistry
from pymongo import InsertOne, UpdateOne
from redis.asyncio import Redis

from app.clients import cache_redis, counter_scripts, mongodb
from app.decision import charge_of
from app.limiter.redis_limiter import RedisLimiter
from app.local.stores import cache_store, mongodb_is_ready, redis_is_ready, rules_store
from app.rules.cache import RuleCache
from app.rules.match import Caller
from app.settings import Settings
from sync.publisher import Publisher
from sync.watcher import Metrics, Watcher
from tests.conftest import started
from tests.system import free_port

DEFAULT_SIZES = (10, 1_000, 100_000)
BATCH = 10_000
DECISIONS = 3_000
BURST = 10_000


async def fill(database: "AsyncIOMotorDatabase[Any]", rules: int) -> None:
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
async def syncing(database: "AsyncIOMotorDatabase[Any]", redis: Redis, settings: Settings) -> AsyncIterator[float]:
    """Yields how long the first copy took, in seconds."""
    stop, ready = asyncio.Event(), asyncio.Event()
    watcher = Watcher(database, Publisher(redis), settings, Metrics(CollectorRegistry()))
    start = time.monotonic()
    task = asyncio.create_task(watcher.run(stop, ready))
    await ready.wait()
    try:
        yield time.monotonic() - start
    finally:
        stop.set()
        await task


async def decision_us(rules: RuleCache, limiter: RedisLimiter, count: int) -> tuple[float, float]:
    """Median microseconds of a decision whose rules are in memory, and of one whose rules are not."""
    known: list[float] = []
    new: list[float] = []
    for i in range(DECISIONS):
        caller = Caller(f"u{i % count}", "iss", {}, "10.0.0.1")
        for times in (new, known):
            start = time.perf_counter()
            matches = await rules.applicable(caller, "GET", ("/",))
            await limiter.decide([charge_of(match) for match in matches])
            times.append((time.perf_counter() - start) * 1e6)
    return statistics.median(known), statistics.median(new)


async def burst_s(database: "AsyncIOMotorDatabase[Any]", rules: RuleCache, count: int) -> float:
    """Until the last of a burst of changes is in force, in seconds."""
    changes = [UpdateOne({"_id": f"r{i % count}"}, {"$set": {"limit": 7 + i}}) for i in range(BURST)]
    last = (BURST - 1) % count
    start = time.monotonic()
    await database["rules"].bulk_write(changes, ordered=True)
    caller = Caller(f"u{last}", "iss", {}, "10.0.0.1")
    while (await rules.applicable(caller, "GET", ("/",)))[0].rule.rule.limit != 7 + BURST - 1:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    return time.monotonic() - start


async def measure(settings: Settings, sizes: list[int]) -> None:
    client: AsyncIOMotorClient[Any] = mongodb(settings)
    redis, counting = cache_redis(settings), counter_scripts(settings, settings.cache_timeout_ms)
    database = client[settings.mongodb_database]
    baseline = 0.0
    for size in sizes:
        await fill(database, size)
        await redis.flushall()
        await database["sync_state"].delete_many({})
        async with syncing(database, redis, settings) as copied_s:
            memory = (await redis.info("memory"))["used_memory"] / 1e6
            rules, stop = RuleCache(redis, settings), asyncio.Event()
            following = asyncio.create_task(rules.run(stop))
            known_us, new_us = await decision_us(rules, RedisLimiter(counting), size)
            baseline = baseline or known_us
            took_s = await burst_s(database, rules, size)
            stop.set()
            await following
        print(
            f"{size:>9,} rules: copied in {copied_s:6.1f} s, {memory:7.1f} MB in Redis; a decision {known_us:5.0f} us"
            f" (x {known_us / baseline:.2f}), with its rules to be read {new_us:5.0f} us;"
            f" {BURST:,} changes in force after {took_s:.1f} s",
            flush=True,
        )
    client.close()
    await redis.aclose()
    await counting.aclose()


def main() -> None:
    sizes = [int(size) for size in sys.argv[1:]] or list(DEFAULT_SIZES)
    folder = Path(tempfile.mkdtemp())
    port = free_port()
    documents, cache = rules_store(folder / "mongodb", port), cache_store(folder / "cache", free_port())
    with ExitStack() as stack:
        stack.enter_context(started(documents, folder / "mongodb.log"))
        stack.enter_context(started(cache, folder / "cache.log"))
        asyncio.run(mongodb_is_ready(port))
        asyncio.run(redis_is_ready(cache.url))
        settings = Settings(mongodb_url=documents.url, cache_redis_url=cache.url, sync_full_interval_s=3600)
        asyncio.run(measure(settings, sizes))


if __name__ == "__main__":
    main()
