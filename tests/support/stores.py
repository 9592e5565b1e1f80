"""Processes of stores for tests: emptied, ended, killed and started again."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from pathlib import Path

import redis as sync_redis
from redis.asyncio import Redis

from app.local.stores import StoreProcess, queue_store, redis_is_ready
from tests.support.ports import free_port
from tests.support.processes import end, start
from tests.support.waiting import eventually

MEMORY_DISK = Path("/dev/shm")
ENOUGH_BYTES = 4 << 30
REWRITE_PERCENTAGE = "auto-aof-rewrite-percentage"
FOLDERS = "penstock-tests-"
"""Folders on the memory disk are named so; the process that made one, and something random, follow."""


@asynccontextmanager
async def without_rewrites(queue: Redis) -> AsyncIterator[None]:
    """Let the queue Redis not rewrite its file meanwhile: that takes megabytes of memory, which come and go."""

    async def rewrites_nothing() -> bool:
        found = await queue.info("persistence")
        return not found["aof_rewrite_in_progress"] and not found["aof_rewrite_scheduled"]

    before = str((await queue.config_get(REWRITE_PERCENTAGE))[REWRITE_PERCENTAGE])
    await queue.config_set(REWRITE_PERCENTAGE, 0)
    try:
        await eventually(rewrites_nothing, 30, "no rewrite goes on")
        yield
    finally:
        await queue.config_set(REWRITE_PERCENTAGE, before)


def emptied(url: str) -> str:
    with sync_redis.Redis.from_url(url) as client:
        client.flushall()
    return url


@contextmanager
def started(store: StoreProcess, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A store's process, ended afterwards."""
    process = start(store.command, log)
    try:
        yield process
    finally:
        end(process)


@contextmanager
def quick_folder(otherwise: Path) -> Iterator[Path]:
    """A folder on the memory disk for a queue that is not about its disk; `otherwise` where that has no room.

    A disk that others keep busy makes workers lease jobs seconds ahead, and so changes what tests of order and of
    shares see.
    """
    if not MEMORY_DISK.is_dir() or shutil.disk_usage(MEMORY_DISK).free < ENOUGH_BYTES:
        yield otherwise
        return
    for left in MEMORY_DISK.glob(f"{FOLDERS}*"):  # by a process that was killed
        if not Path("/proc", left.name.removeprefix(FOLDERS).partition("-")[0]).exists():
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{FOLDERS}{os.getpid()}-", dir=MEMORY_DISK))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class OwnQueue:
    """A queue Redis that a test may do anything to."""

    def __init__(self, store: StoreProcess, log: Path) -> None:
        self.url = store.url
        self._store = store
        self._log = log
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        return start(self._store.command, self._log)

    async def again(self) -> None:
        self.process = self._start()
        await redis_is_ready(self.url)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()


@contextmanager
def own_queue(log: Path, folder: Path | None = None) -> Iterator[OwnQueue]:
    with nullcontext(folder) if folder else quick_folder(log.parent / "queue") as place:
        queue = OwnQueue(queue_store(place, free_port()), log)
        try:
            yield queue
        finally:
            queue.end()
