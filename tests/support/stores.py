"""Processes of stores for tests: emptied, ended, killed and started again."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis as sync_redis

from app.local.stores import StoreProcess, queue_store, redis_is_ready
from tests.support.ports import free_port
from tests.support.processes import end, start


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
def own_queue(folder: Path, log: Path) -> Iterator[OwnQueue]:
    queue = OwnQueue(queue_store(folder, free_port()), log)
    try:
        yield queue
    finally:
        queue.end()
