"""Empty stores of the benchmark's own, on a real disk."""

import os
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from redis.asyncio import Redis

from app.local.stores import StoreProcess, cache_store, mongodb_is_ready, queue_store, redis_is_ready, rules_store
from app.queue import keys
from app.settings import Settings
from tests.benchmarks.errors import CannotRun
from tests.support.ports import free_port
from tests.support.stores import started

IN_MEMORY = {"tmpfs", "ramfs"}


@contextmanager
def folder() -> Iterator[Path]:
    """A folder for the data of the stores, below `TMPDIR`. Raises CannotRun if that is not on a disk."""
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as name:
        kind = subprocess.check_output(["stat", "-f", "-c", "%T", name], text=True).strip()
        if kind in IN_MEMORY:
            raise CannotRun(f"{name} is {kind}, and the queue Redis needs a real disk: set TMPDIR to a folder on one")
        yield Path(name)


@asynccontextmanager
async def all_stores(place: Path) -> AsyncIterator[Settings]:
    """Run mongod and both Redis. Yields settings for them."""
    async with AsyncExitStack() as stack:
        documents = await stack.enter_async_context(documents_only(place))
        cache, _ = await stack.enter_async_context(cache_only(place))
        queue, _ = await stack.enter_async_context(queue_only(place))
        yield Settings(
            mongodb_url=documents,
            mongodb_database="bench",
            cache_redis_url=cache,
            queue_redis_url=queue,
            sync_full_interval_s=3600,
        )


@asynccontextmanager
async def documents_only(place: Path) -> AsyncIterator[str]:
    """Run mongod. Yields its URL."""
    port = free_port()
    store = rules_store(place / "mongodb", port)
    with started(store, place / "mongodb.log"):
        await mongodb_is_ready(port)
        yield store.url


@asynccontextmanager
async def cache_only(place: Path, name: str = "cache") -> AsyncIterator[tuple[str, int]]:
    """Run a Redis that writes nothing to disk. Yields its URL and its process id."""
    async with _redis(cache_store(place / name, free_port()), place / f"{name}.log") as found:
        yield found


@asynccontextmanager
async def queue_only(place: Path) -> AsyncIterator[tuple[str, int]]:
    """Run a Redis that writes everything to disk before it answers. Yields its URL and its process id."""
    async with _redis(queue_store(place / "queue", free_port()), place / "queue.log") as found:
        yield found


@asynccontextmanager
async def _redis(store: StoreProcess, log: Path) -> AsyncIterator[tuple[str, int]]:
    with started(store, log) as process:
        await redis_is_ready(store.url)
        yield store.url, process.pid


async def jobs_waiting(queue: Redis) -> int:
    """The number of jobs that are not final, which are in the stream of the only partition."""
    return int(await queue.xlen(f"{keys.prefix(0)}jobs"))


def fsync_ms(place: Path, times: int = 50) -> float:
    """The median time of a synchronous write of 4 KB, which is what `appendfsync always` waits for."""
    taken: list[float] = []
    with (place / "fsync").open("wb", buffering=0) as file:
        for _ in range(times):
            start = time.perf_counter()
            file.write(b"x" * 4096)
            os.fdatasync(file.fileno())
            taken.append((time.perf_counter() - start) * 1000)
    return sorted(taken)[times // 2]
