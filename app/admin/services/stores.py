"""How the stores are: reachable, how full, and configured so that nothing that was acknowledged is lost."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from pymongo.errors import OperationFailure, PyMongoError
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from app.admin.services.status_model import StoreStatus
from app.clients import MongoDatabase
from app.queue.checks import queue_problems
from app.web.excerpt import one_line

ANSWER_WITHIN_S = 2.0
FULL = 0.9
"""From this fraction of its memory on, a Redis is nearly full. Deferring stops before that."""

StoreName = Literal["mongodb", "cache_redis", "queue_redis"]


class Stores:
    """Looks at the three stores. `queue_folder` is the folder of the queue's files, if it is on this machine."""

    def __init__(self, database: MongoDatabase, cache: Redis, queue: Redis, queue_folder: Path | None) -> None:
        self._database = database
        self._cache = cache
        self._queue = queue
        self._queue_folder = queue_folder

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
        return StoreStatus(
            store="mongodb",
            reachable=True,
            version=str(build["version"]),
            disk_free_bytes=_disk_free(stats),
            disk_total_bytes=int(stats["fsTotalSize"]) if "fsTotalSize" in stats else None,
            problems=[] if "setName" in hello else ["it is not a replica set, so sync cannot follow its changes"],
        )

    async def _cache_redis(self) -> StoreStatus:
        info = await self._cache.info()
        return _redis_status("cache_redis", info, _eviction(info))

    async def _queue_redis(self) -> StoreStatus:
        info, problems = await asyncio.gather(self._queue.info(), queue_problems(self._queue))
        if info.get("aof_last_write_status", "ok") != "ok":
            problems.append("its last write to disk has failed")
        found = _redis_status("queue_redis", info, problems)
        if self._queue_folder is None:
            return found
        disk = shutil.disk_usage(self._queue_folder)
        return found.model_copy(update={"disk_free_bytes": disk.free, "disk_total_bytes": disk.total})


def _redis_status(store: StoreName, info: Mapping[str, Any], problems: list[str]) -> StoreStatus:
    used, most = int(info["used_memory"]), int(info["maxmemory"])
    full = [f"it uses {used / most:.0%} of its memory"] if most and used > FULL * most else []
    return StoreStatus(
        store=store,
        reachable=True,
        version=str(info["redis_version"]),
        used_memory_bytes=used,
        max_memory_bytes=most,
        problems=problems + full,
    )


def _eviction(info: Mapping[str, Any]) -> list[str]:
    policy = info["maxmemory_policy"]
    return [] if policy == "noeviction" else [f"its maxmemory-policy is {policy}, so it may drop rules and counters"]


def _disk_free(stats: Mapping[str, Any]) -> int | None:
    return int(stats["fsTotalSize"] - stats["fsUsedSize"]) if "fsTotalSize" in stats else None


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
