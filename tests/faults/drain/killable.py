"""Stores that a test may kill: processes of its own, started again at the same port with the same files."""

import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from app.local.stores import Store, cache_store, mongodb_is_ready, queue_store, redis_is_ready, rules_store
from app.settings import Settings
from tests.support.system import free_port


class KillableStore:
    def __init__(self, store: Store, log: Path) -> None:
        self._store = store
        self._log = log
        self.url = store.url
        self.process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(self._store.command, stdout=log, stderr=log)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        self.process = self._started()

    def stop(self) -> None:
        """SIGSTOP: it hangs."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)

    def end(self) -> None:
        if self.process.poll() is None:
            self.go_on()
            self.kill()


class Stores:
    """MongoDB and the two Redis of one test."""

    def __init__(self, folder: Path) -> None:
        self._mongodb_port = free_port()
        self.mongodb = KillableStore(rules_store(folder / "mongodb", self._mongodb_port), folder / "mongodb.log")
        self.cache = KillableStore(cache_store(folder / "cache", free_port()), folder / "cache.log")
        self.queue = KillableStore(queue_store(folder / "queue", free_port()), folder / "queue.log")

    async def ready(self) -> None:
        await mongodb_is_ready(self._mongodb_port)
        await redis_is_ready(self.cache.url)
        await redis_is_ready(self.queue.url)

    def settings(self) -> Settings:
        return Settings(mongodb_url=self.mongodb.url, cache_redis_url=self.cache.url, queue_redis_url=self.queue.url)

    def end(self) -> None:
        for store in (self.mongodb, self.cache, self.queue):
            store.end()


@asynccontextmanager
async def killable_stores(folder: Path) -> AsyncIterator[Stores]:
    stores = Stores(folder)
    try:
        await stores.ready()
        yield stores
    finally:
        stores.end()
