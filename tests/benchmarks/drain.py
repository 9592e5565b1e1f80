"""One worker compared with arq's, and the accuracy of its drain rates."""

from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from statistics import median

from redis.asyncio import Redis

from app.clients import queue_redis
from tests.benchmarks import accuracy, nginx, stores
from tests.benchmarks.backlog import Backlog
from tests.benchmarks.baselines import running as baselines
from tests.benchmarks.errors import require
from tests.benchmarks.plan import Plan
from tests.benchmarks.processes import Cores, pin
from tests.benchmarks.rounds import Measure, in_rounds
from tests.benchmarks.running import USERS, penstock
from tests.benchmarks.samples import Sample, TargetCheck, ratio
from tests.benchmarks.table import show_rates, show_targets
from tests.support.stores import emptied

ASYNQ_PER_S = 9_300
"""As measured on another machine (README.md)."""


async def bench(place: Path, cores: Cores, plan: Plan) -> None:
    """Start everything, measure in rounds, measure the accuracy, and print the tables."""
    async with AsyncExitStack() as stack:
        settings = await stack.enter_async_context(stores.all_stores(place))
        app_server = stack.enter_context(nginx.app_server(place / "app-server"))
        system = await stack.enter_async_context(penstock(settings, place / "penstock", app_server.url))
        arq_redis, _ = await stack.enter_async_context(stores.cache_only(place, "arq"))
        queue = await stack.enter_async_context(queue_redis(settings))
        worker = system.worker()
        await system.ready(worker)
        pin(worker.process.pid, cores.server)
        backlog = Backlog(system, queue, app_server, worker.process.pid)
        measures: dict[str, Measure] = {
            f"worker: {len(USERS)} flows": partial(backlog.drain, users=USERS),
            "worker: 1 flow": partial(backlog.drain, users=USERS[:1]),
            "arq: worker, jobs that do nothing": partial(drain_with_arq, arq_redis, cores),
        }
        rows = await in_rounds(measures, plan)
        worker.end()
        system.parts.remove(worker)
        found = [await accuracy.measure(backlog, cores, per_s, plan) for per_s in accuracy.RATES_PER_S]
    show_rates(f"Drain: {plan.jobs:,} jobs, one worker on one core, median of {plan.rounds} rounds", "jobs", rows)
    many, one, arq = rows
    show_targets(
        [
            TargetCheck(f"{many.name} / arq", ratio(many, arq), 10),
            TargetCheck(f"{one.name} / arq", ratio(one, arq), 10),
            TargetCheck(
                f"{many.name}, where asynq does {ASYNQ_PER_S:,}", median(many.values("per_s")), 12_000, unit="jobs/s"
            ),
        ]
    )
    accuracy.show(found, plan)


async def drain_with_arq(redis_url: str, cores: Cores, plan: Plan) -> Sample:
    """Let arq's worker drain its queue. Raises WrongAnswer unless every job has a result."""
    emptied(redis_url)
    await baselines.arq(cores.rest, "fill", redis_url, plan.jobs)
    found = await baselines.arq(cores.server, "drain", redis_url)
    async with Redis.from_url(redis_url) as redis:
        results = len([1 async for _ in redis.scan_iter("arq:result:*", count=10_000)])
    done = f"{found['jobs']:.0f} done, {found['failed']:.0f} failed, {results} results"
    require(found["jobs"] == results == plan.jobs and found["failed"] == 0, f"arq, {plan.jobs} jobs: {done}")
    return Sample(found["jobs"] / found["seconds"], found["cpu_s"] / found["jobs"] * 1e6)
