"""Which queue Redis edges and workers accept, and how deferring stops when its disk is nearly full."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from app.errors import StartupError
from app.local.stores import cache_store, redis_is_ready
from app.queue.checks import check_queue
from app.settings import Settings
from tests.support.edge_in_process import EVERY_ADDRESS, edge_running, in_force
from tests.support.ports import free_port
from tests.support.processes import ROOT
from tests.support.stores import started
from tests.support.system import PENSTOCK
from tests.support.waiting import eventually


@pytest.fixture
def undurable_url(tmp_path: Path) -> Iterator[str]:
    """The address of a Redis that writes nothing to disk."""
    store = cache_store(tmp_path / "undurable", free_port())
    with started(store, tmp_path / "undurable.log"):
        yield store.url


async def test_a_durable_redis_is_accepted(queue: Redis, settings: Settings) -> None:
    with capture_logs() as logs:
        await check_queue(queue, settings)
    assert logs == []


async def test_a_redis_that_may_lose_jobs_is_refused_or_logged(undurable_url: str, settings: Settings) -> None:
    await redis_is_ready(undurable_url)
    async with Redis.from_url(undurable_url) as redis:
        with pytest.raises(StartupError, match=r"appendonly must be yes.*; appendfsync must be always"):
            await check_queue(redis, settings)
        with capture_logs() as logs:
            await check_queue(redis, settings.model_copy(update={"queue_check": "warn"}))
    problems = [log["problem"] for log in logs if log["event"] == "queue_redis_may_lose_jobs"]
    assert [problem.split()[0] for problem in problems] == ["appendonly", "appendfsync"]


@pytest.mark.parametrize("role", ["edge", "worker"])
def test_a_process_does_not_start_on_a_redis_that_may_lose_jobs(
    undurable_url: str, settings: Settings, role: str
) -> None:
    asyncio.run(redis_is_ready(undurable_url))
    environment = {
        "PENSTOCK_CACHE_REDIS_URL": settings.cache_redis_url,
        "PENSTOCK_QUEUE_REDIS_URL": undurable_url,
        "PENSTOCK_UPSTREAMS": "http://127.0.0.1:9",
        "PENSTOCK_IDENTITY": "off",
    }
    options = ["--port", str(free_port())] if role == "edge" else []
    command = [str(PENSTOCK), role, *options]
    ended = subprocess.run(
        command, check=False, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 1
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith("penstock: The queue Redis may lose jobs: appendonly must be yes")


async def test_a_nearly_full_disk_stops_deferring_only(settings: Settings, cache: Redis, tmp_path: Path) -> None:
    full = {"queue_folder": tmp_path, "queue_min_free_bytes": 1 << 60}
    async with edge_running(settings, cache, **full) as edge:
        await edge.rule("one", **EVERY_ADDRESS, limit=1, window_seconds=3600, on_limit="defer")
        await in_force(edge, "one")
        assert (await edge.get("/")).status == 200

        async def refused() -> bool:
            return (await edge.get("/")).status == 503

        await eventually(refused, 10, "deferring is refused")
        assert (await edge.get("/")).json()["detail"] == "The queue's disk is nearly full."
