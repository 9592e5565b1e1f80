"""The whole system under the supervisor of `penstock up`, for tests that kill any part of it."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.local.process_spec import ProcessSpec
from app.local.stores import StoreProcess, cache_store, mongodb_is_ready, queue_store, redis_is_ready, rules_store
from app.local.supervisor import SupervisedProcess, Supervisor
from app.settings import Settings
from tests.support.account import QUEUE, Kill
from tests.support.ports import free_port
from tests.support.stores import quick_folder
from tests.support.system import PENSTOCK, System, running
from tests.support.waiting import eventually

END_WITHIN_S = 15.0
LONGEST_PAUSE_S = 1.0
"""A worker that could not store an outcome tries again after so long at most."""
HOST = "127.0.0.1"
SMALL_AOF = ("--auto-aof-rewrite-min-size", "1mb")
"""So that the queue Redis is killed while it rewrites its file, too."""


class Supervised:
    """Its children are started again by the real supervisor, at the same ports."""

    def __init__(self, system: System, children: list[SupervisedProcess], randomness: random.Random) -> None:
        self.system = system
        self.children = children
        self.kills: list[Kill] = []
        self._randomness = randomness
        self._returning: list[asyncio.Task[None]] = []

    def pause_s(self, mean_s: float) -> float:
        return self._randomness.expovariate(1 / mean_s)

    def kill_one(self, weights: dict[str, float]) -> None:
        """Any that runs, wherever in its life it is; a role by its weight."""
        running = [child for child in self.children if child.process and child.process.returncode is None]
        if not running:
            return
        counts = {role: sum(child.spec.role == role for child in running) for role in weights}
        chances = [weights[child.spec.role] / counts[child.spec.role] for child in running]
        [child] = self._randomness.choices(running, chances)
        assert child.process is not None
        child.process.kill()
        kill = Kill(time.monotonic(), child.spec.name)
        self.kills.append(kill)
        if kill.name == QUEUE:
            self._returning.append(asyncio.create_task(self._note_return(kill)))

    async def queue_has_returned(self) -> None:
        """Wait until it is known of each kill of the queue when that was over."""
        await asyncio.gather(*self._returning)

    async def _note_return(self, kill: Kill) -> None:
        async with Redis.from_url(self.system.settings.queue_redis_url, socket_timeout=30) as queue:

            async def answers() -> bool:
                try:
                    return bool(await queue.ping())
                except (RedisError, OSError):
                    return False

            await eventually(answers, 120, "the queue is back")
        kill.until = time.monotonic() + LONGEST_PAUSE_S


@asynccontextmanager
async def supervised(
    folder: Path,
    randomness: random.Random,
    *,
    edges: int,
    workers: int,
    **environment: Any,  # noqa: ANN401
) -> AsyncIterator[Supervised]:
    """Ready. Each worker sends below a path of its own, so that the app server can tell them apart."""
    log_dir = folder / "supervised"
    log_dir.mkdir()
    supervisor = Supervisor(log_dir, lambda _: None)
    with quick_folder(folder / "queue") as queue_folder:
        try:
            settings, children = await _stores(folder, queue_folder, supervisor)
            async with running(settings, folder, syncs=0, edges=0, workers=0, **environment) as system:
                system.edge_port = free_port()
                own = [await supervisor.start(spec) for spec in _specs(system, edges, workers)]
                await supervisor.ready(*own)
                yield Supervised(system, children + own, randomness)
        finally:
            await supervisor.end(None, END_WITHIN_S)


async def _stores(folder: Path, queue_folder: Path, supervisor: Supervisor) -> tuple[Settings, list[SupervisedProcess]]:
    port = free_port()
    stores = {
        "mongodb": rules_store(folder / "mongodb", port),
        "cache-redis": cache_store(folder / "cache", free_port()),
        "queue-redis": _with(queue_store(queue_folder, free_port()), SMALL_AOF),
    }
    children = [await supervisor.start(ProcessSpec(role, 0, store.command)) for role, store in stores.items()]
    await mongodb_is_ready(port)
    cache_url, queue_url = stores["cache-redis"].url, stores["queue-redis"].url
    await redis_is_ready(cache_url)
    await redis_is_ready(queue_url)
    settings = Settings(mongodb_url=stores["mongodb"].url, cache_redis_url=cache_url, queue_redis_url=queue_url)
    return settings, children


def _with(store: StoreProcess, options: tuple[str, ...]) -> StoreProcess:
    return StoreProcess((*store.command, *options), store.url)


def _specs(system: System, edges: int, workers: int) -> list[ProcessSpec]:
    admin = ("admin", "--host", HOST, "--port", str(free_port()))
    edge = ("edge", "--host", HOST, "--port", str(system.edge_port), "--reuse-port")
    return [
        _spec(system, 0, "sync"),
        _spec(system, 0, *admin),
        *(_spec(system, index, *edge) for index in range(edges)),
        *(_spec(system, index, "worker") for index in range(workers)),
    ]


def _spec(system: System, index: int, role: str, *options: str) -> ProcessSpec:
    port = free_port()
    environment = system.environment | {"PENSTOCK_UPSTREAMS": f"{system.upstream}/{role}-{index}"}
    return ProcessSpec(
        role, index, (str(PENSTOCK), role, *options, "--ops-port", str(port)), environment, ops_port=port
    )
