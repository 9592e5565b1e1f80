"""How the stores are: reachable, how full, and configured so that nothing that was acknowledged is lost."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Literal

from pymongo.errors import OperationFailure, PyMongoError
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from app.admin.services.status_model import StoreStatus
from app.clients import MongoDatabase
from app.queue.checks import queue_problems
from app.settings import Settings
from app.web.excerpt import one_line

ANSWER_WITHIN_S = 2.0
"""How long a store is waited for by whoever asks how the installation is."""

FULL = 0.9
"""From this fraction of its memory on, a Redis is nearly full; so is the queue's at this fraction of its bound."""

FREE_MONGODB_BYTES = 1 << 30
"""With less free disk than this, MongoDB is nearly full."""

UNJOURNALED = "its writeConcernMajorityJournalDefault is false, so it acknowledges changes that it may lose in a crash"
_LEFT_OUT_OF_SERVER_STATUS = ("metrics", "wiredTiger", "tcmalloc", "locks", "opLatencies", "repl", "transactions")
"""The large parts of what MongoDB says of itself, which nobody needs here."""

StoreName = Literal["mongodb", "cache_redis", "queue_redis"]


class Stores:
    """Looks at the three stores. The settings have the bounds of the queue's memory and disk."""

    def __init__(self, database: MongoDatabase, cache: Redis, queue: Redis, settings: Settings) -> None:
        self._database = database
        self._cache = cache
        self._queue = queue
        self._settings = settings

    async def look(self) -> list[StoreStatus]:
        """Return how each store is. One that does not answer in time is not reachable, which is no error here."""
        looks: dict[StoreName, Callable[[], Awaitable[StoreStatus]]] = {
            "mongodb": self._mongodb,
            "cache_redis": self._cache_redis,
            "queue_redis": self._queue_redis,
        }
        return list(await asyncio.gather(*(_within(store, look) for store, look in looks.items())))

    async def _mongodb(self) -> StoreStatus:
        hello, build = await asyncio.gather(self._database.command("hello"), self._database.command("buildInfo"))
        stats: Mapping[str, Any] = {}
        with suppress(OperationFailure):  # an account that may not ask for it
            stats = await self._database.command("dbStats")
        free, problems = _disk_free(stats), await self._mongodb_persistence()
        if "setName" not in hello:
            problems.append("it is not a replica set, so sync cannot follow its changes")
        if free is not None and free < FREE_MONGODB_BYTES:
            problems.append(f"its disk has only {_mib(free)} left")
        return StoreStatus(
            store="mongodb",
            reachable=True,
            version=str(build["version"]),
            disk_free_bytes=free,
            disk_total_bytes=None if free is None else int(stats["fsTotalSize"]),
            problems=problems,
        )

    async def _mongodb_persistence(self) -> list[str]:
        """What is wrong with how MongoDB keeps what it has acknowledged, as far as the account may ask."""
        admin, problems = self._database.client.admin, []
        with suppress(OperationFailure):
            server = await admin.command({"serverStatus": 1} | dict.fromkeys(_LEFT_OUT_OF_SERVER_STATUS, 0))
            if not server["storageEngine"]["persistent"]:
                problems.append("it keeps its data in memory only")
        with suppress(OperationFailure):  # also where it is no replica set
            config = (await admin.command("replSetGetConfig"))["config"]
            if not config.get("writeConcernMajorityJournalDefault", True):
                problems.append(UNJOURNALED)
        return problems

    async def _cache_redis(self) -> StoreStatus:
        info = await self._cache.info()
        return _redis_status("cache_redis", info, _eviction(info) + _memory(info, 1.0, "nothing can be counted"))

    async def _queue_redis(self) -> StoreStatus:
        info, problems = await asyncio.gather(self._queue.info(), queue_problems(self._queue))
        if info.get("aof_last_write_status", "ok") != "ok":
            problems.append("its last write to disk has failed")
        problems += _memory(info, self._settings.queue_max_memory, "nothing is deferred")
        found = _redis_status("queue_redis", info, problems)
        if self._settings.queue_folder is None:
            return found
        disk = shutil.disk_usage(self._settings.queue_folder)
        problems += _disk(disk.free, self._settings.queue_min_free_bytes)
        return found.model_copy(
            update={"disk_free_bytes": disk.free, "disk_total_bytes": disk.total, "problems": problems}
        )


def _redis_status(store: StoreName, info: Mapping[str, Any], problems: list[str]) -> StoreStatus:
    return StoreStatus(
        store=store,
        reachable=True,
        version=str(info["redis_version"]),
        used_memory_bytes=int(info["used_memory"]),
        max_memory_bytes=int(info["maxmemory"]),
        problems=problems,
    )


def _memory(info: Mapping[str, Any], bound: float, then: str) -> list[str]:
    """What is said of a memory that is nearly full. `bound`: the fraction of it from which on `then` happens."""
    used, most = int(info["used_memory"]), int(info["maxmemory"])
    if not most or used <= FULL * bound * most:
        return []
    return [f"it uses {used / most:.0%} of its memory, and from {bound:.0%} on {then}"]


def _disk(free: int, least: int) -> list[str]:
    """What is said of the queue's disk, which needs `least` bytes free for jobs to be deferred."""
    if free >= 2 * least:
        return []
    return [f"its disk has only {_mib(free)} left, and below {_mib(least)} nothing is deferred"]


def _mib(size: int) -> str:
    return f"{size >> 20} MiB"


def _eviction(info: Mapping[str, Any]) -> list[str]:
    policy = info["maxmemory_policy"]
    return [] if policy == "noeviction" else [f"its maxmemory-policy is {policy}, so it may drop rules and counters"]


def _disk_free(stats: Mapping[str, Any]) -> int | None:
    """The free bytes of MongoDB's disk; None where it does not say, as of a database that has nothing yet."""
    return int(stats["fsTotalSize"] - stats["fsUsedSize"]) if stats.get("fsTotalSize") else None


async def _within(store: StoreName, look: Callable[[], Awaitable[StoreStatus]]) -> StoreStatus:
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            return await look()
    except TimeoutError:
        problem = f"it has not answered within {ANSWER_WITHIN_S:g} s"
    except (ResponseError, OperationFailure) as error:
        return StoreStatus(store=store, reachable=True, problems=[f"it refuses to say how it is: {one_line(error)}"])
    except (RedisError, PyMongoError, OSError) as error:
        problem = one_line(error)
    return StoreStatus(store=store, reachable=False, problems=[problem])
