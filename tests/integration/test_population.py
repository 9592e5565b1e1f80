"""Copies of jobs, with which the costs of very many jobs are measured, are what the queue itself writes."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import queue_steps, stores
from tests.benchmarks.population import Population
from tests.support.populations import Bring, filled

pytestmark = pytest.mark.plain  # tests/benchmarks/cost_meter.py says why

JOBS = 3
PASSING = {b"spare", b"looked"}
"""What the queue notes of its memory from time to time, which is nothing of a job."""

TIME = re.compile(rb"\b[0-9]{13,16}(-[0-9]+)?\b")
"""Milliseconds, microseconds, or an id of the stream."""


async def _waiting(population: Population) -> str:
    return await population.enqueue()


async def _from_kafka(population: Population) -> str:
    return await population.record()


@pytest.mark.parametrize("in_flows", [False, True], ids=["one flow", "a flow each"])
@pytest.mark.parametrize("bring", [_waiting, _from_kafka])
def test_copies_are_written_as_jobs_are(bring: Bring, in_flows: bool, tmp_path: Path) -> None:
    async def check() -> None:
        async with stores.queue_only(tmp_path) as (url, _):
            population = Population.on(url)
            found = []
            async for copied in filled(population, bring, JOBS, in_flows=in_flows):
                found.append(await _content(population, _owners(population, copied=copied)))
            await population.aclose()
            assert found[0] == found[1]
            assert len([key for key in found[0] if key.startswith(b"{q0}:job:")]) == JOBS

    asyncio.run(check())


def _owners(population: Population, *, copied: bool) -> list[str]:
    """The owner of each job. Where copies have owners of their own, each has its number at the end."""
    owners = [queue_steps.owner_by_number(number, population.count) for number in range(JOBS)]
    if copied and population.count > 1:
        return [owners[0], *(f"{owners[0][:-8]}{number:08}" for number in range(1, JOBS))]
    return owners


async def _content(population: Population, owners: list[str]) -> dict[bytes, Any]:
    """All that is in the Redis, but for what differs each time: ids, owners and times."""
    redis = population.redis
    names = {owner.encode(): b"<owner %d>" % number for number, owner in enumerate(owners)}
    names |= {job_id.encode(): b"<job %d>" % number for number, job_id in enumerate(population.ids)}

    def alike(value: Any) -> Any:  # noqa: ANN401 - whatever a key holds
        if isinstance(value, bytes):
            for different, name in names.items():
                value = value.replace(different, name)
            return TIME.sub(b"<time>", value)
        if isinstance(value, dict):
            return {alike(key): alike(each) for key, each in value.items() if key not in PASSING}
        if isinstance(value, list | tuple):
            return [alike(each) for each in value]
        return b"<time>" if isinstance(value, float) and value > 1e12 else value

    read: dict[Any, Callable[[bytes], Awaitable[Any]]] = {
        b"string": redis.get,
        b"hash": redis.hgetall,
        b"set": lambda key: redis.sort(key, alpha=True),
        b"zset": lambda key: redis.zrange(key, 0, -1, withscores=True),
        b"stream": redis.xrange,
    }
    return {
        alike(key): [alike(await read[await redis.type(key)](key)), await redis.ttl(key) > 0]
        async for key in redis.scan_iter(count=1000)
    }
