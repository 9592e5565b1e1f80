"""How the queue scales: memory with many jobs and after most are done, and a rate changed for many flows.

    python -m tests.benchmarks.queue_scale [JOBS [FLOWS]]

Starts a redis-server of its own, with the settings of the queue Redis.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from app.clients import queue_redis, queue_scripts
from app.jobs.model import JobStatus, StoredRequest
from app.limiter.keys import descriptor
from app.local.stores import queue_store, redis_is_ready
from app.queue.flows import Flows
from app.queue.model import Deferral, FrozenCharge, Settlement
from app.rules.active import ActiveRule
from app.rules.model import parse_rule
from app.settings import Settings
from tests.conftest import started
from tests.system import free_port

AT_ONCE = 500
LEFT = 0.01


def rule(revision: int, per_s: int) -> ActiveRule:
    fields = {"rule_id": "r", "key_type": "user", "key_value": "*", "limit": 1, "window_seconds": 3600}
    queue = {"max_depth": 1_000_000, "max_wait_seconds": 30_000_000, "result_ttl_seconds": 1}
    drain = {"limit": per_s, "window_seconds": 1}
    return ActiveRule(parse_rule({**fields, "on_limit": "defer", "queue": queue, "drain": drain}), revision)


def deferral(number: int, flows: int, active: ActiveRule, due_in_us: int) -> Deferral:
    whom = descriptor("user", f"user_{number % flows}")
    request = StoredRequest("POST", b"/work", [(b"content-type", b"text/plain")], b"x" * 400)
    return Deferral(active, whom, (FrozenCharge("r", whom, 1),), "", request, due_in_us=due_in_us)


async def enqueue(flows: Flows, numbers: Iterable[int], count: int, due_in_us: int) -> None:
    active = rule(1, 1)
    await asyncio.gather(*(flows.enqueue(deferral(number, count, active, due_in_us)) for number in numbers))


async def records(redis: Redis) -> int:
    """How many jobs are remembered."""
    return len([1 async for _ in redis.scan_iter("*:job:*", count=10_000)])


async def memory_mb(redis: Redis) -> float:
    return float((await redis.info("memory"))["used_memory"]) / 1e6


async def drain(flows: Flows, count: int) -> None:
    """Lease and settle so many jobs, a round over all flows at a time."""
    while count > 0:
        _, taken = await flows.take(0, 128, 60_000_000, AT_ONCE)
        settlements: list[Settlement] = []
        for flow in taken:
            leased = await flows.lease(flow, min(flow.run, count), consumer="c", due_in_us=0, look=AT_ONCE)
            assert leased is not None
            settlements += [Settlement(job, JobStatus.SUCCEEDED) for job in leased.jobs]
            count -= len(leased.jobs)
        for first in range(0, len(settlements), 100):
            await flows.settle(settlements[first : first + 100])


async def measure(settings: Settings, jobs: int, count: int) -> dict[str, Any]:
    redis = queue_redis(settings)
    scripts = queue_scripts(settings)
    flows = Flows(redis, scripts, settings)
    await flows.prepare()
    empty = await memory_mb(redis)
    for first in range(0, jobs, AT_ONCE):
        await enqueue(flows, range(first, min(first + AT_ONCE, jobs)), count, 3_600_000_000)
    full = await memory_mb(redis)
    start = time.monotonic()
    await flows.reschedule("r", rule(2, 1000))
    rescheduled_s = time.monotonic() - start
    await drain(flows, int(jobs * (1 - LEFT)))
    await asyncio.sleep(3)  # the records of what is done have a second to live
    while await records(redis) > 1.5 * jobs * LEFT:  # noqa: ASYNC110 - Redis forgets them at its own pace
        await asyncio.sleep(0.5)
    left = await memory_mb(redis)
    await redis.aclose()
    await scripts.aclose()
    return {
        "bytes_a_job": (full - empty) * 1e6 / jobs,
        "full_mb": full - empty,
        "left_ratio": (left - empty) / (full - empty),
        "rescheduled_s": rescheduled_s,
    }


def main() -> None:
    jobs, flows = (int(text) for text in (*sys.argv[1:], "100000", "10000")[:2])
    folder = Path(tempfile.mkdtemp())
    store = queue_store(folder / "queue", free_port())
    with ExitStack() as stack:
        stack.enter_context(started(store, folder / "queue.log"))
        asyncio.run(redis_is_ready(store.url))
        found = asyncio.run(measure(Settings(queue_redis_url=store.url), jobs, flows))
    print(
        f"{jobs:,} jobs of {flows:,} flows: {found['full_mb']:.0f} MB, {found['bytes_a_job']:.0f} bytes a job;"
        f" a changed rate reached all flows after {found['rescheduled_s']:.2f} s;"
        f" with {LEFT:.0%} of the jobs left {found['left_ratio']:.1%} of the memory is in use"
    )


if __name__ == "__main__":
    main()
