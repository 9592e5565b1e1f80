"""How the queue scales: the cost and the memory of a job, and the time that a rate change needs to reach many flows."""

import asyncio
import time
from collections.abc import Iterable
from pathlib import Path

from redis.asyncio import Redis

from app.clients import queue_redis, queue_scripts
from app.jobs.model import JobStatus, StoredRequest
from app.limiter.keys import descriptor
from app.queue.flows import Flows
from app.queue.model import Deferral, FrozenCharge, Settlement
from app.rules.active import ActiveRule
from app.rules.model import parse_rule
from app.settings import Settings
from tests.benchmarks import queue_steps, stores
from tests.benchmarks.plan import Plan
from tests.benchmarks.processes import Cores, pin
from tests.benchmarks.progress import log_progress
from tests.benchmarks.samples import TargetCheck
from tests.benchmarks.table import show_table, show_targets

AT_ONCE = 500
LEFT = 0.01
HOUR_US = 3_600_000_000
PROBE_FLOWS = 128
FLOWS_BACKLOG = 100_000
"""The same number of jobs for any number of flows, with at least one job for each."""


def rule(rule_id: str, revision: int, per_s: int) -> ActiveRule:
    fields = {"rule_id": rule_id, "key_type": "user", "key_value": "*", "limit": 1, "window_seconds": 3600}
    queue = {"max_depth": 10_000_000, "max_wait_seconds": 30_000_000, "result_ttl_seconds": 1}
    drain = {"limit": per_s, "window_seconds": 1}
    return ActiveRule(parse_rule({**fields, "on_limit": "defer", "queue": queue, "drain": drain}), revision)


def deferral(number: int, flows: int, active: ActiveRule, due_in_us: int) -> Deferral:
    whom = descriptor("user", f"user_{number % flows}")
    request = StoredRequest("POST", b"/work", [(b"content-type", b"text/plain")], b"x" * 400)
    charges = (FrozenCharge(active.rule_id, whom, 1),)
    return Deferral(active, charges, "", request, due_in_us=due_in_us)


async def enqueue(flows: Flows, rule_id: str, numbers: Iterable[int], count: int, due_in_us: int) -> None:
    active = rule(rule_id, 1, 1)
    await asyncio.gather(*(flows.enqueue(deferral(number, count, active, due_in_us)) for number in numbers))


async def fill(flows: Flows, rule_id: str, jobs: range, count: int, due_in_us: int) -> None:
    for first in range(jobs.start, jobs.stop, AT_ONCE):
        await enqueue(flows, rule_id, range(first, min(first + AT_ONCE, jobs.stop)), count, due_in_us)


async def records(redis: Redis) -> int:
    """The number of job records."""
    return len([1 async for _ in redis.scan_iter("*:job:*", count=10_000)])


async def memory_mb(redis: Redis) -> float:
    return float((await redis.info("memory"))["used_memory"]) / 1e6


async def drain(flows: Flows, count: int) -> None:
    """Lease and settle this many jobs, taking all flows in turn."""
    while count > 0:
        settlements: list[Settlement] = []
        for flow in await queue_steps.take(flows):
            jobs, later = await queue_steps.lease(flows, flow, min(flow.head.same_cost, count))
            await queue_steps.give_back(flows, later)
            settlements += [Settlement(job, JobStatus.SUCCEEDED) for job in jobs]
            count -= len(jobs)
        for first in range(0, len(settlements), 100):
            await flows.settle(settlements[first : first + 100])


async def used_cpu_s(redis: Redis) -> float:
    """The CPU time of the Redis and of this process, which together is the cost of the jobs."""
    cpu = await redis.info("cpu")
    return float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"]) + time.process_time()


async def job_us(flows: Flows, redis: Redis, probes: int) -> float:
    """The CPU time of one job from enqueueing to its outcome, in microseconds. The backlog is the same afterwards."""
    before = await used_cpu_s(redis)
    await fill(flows, "probe", range(probes), PROBE_FLOWS, 0)
    await drain(flows, probes)
    return (await used_cpu_s(redis) - before) / probes * 1e6


async def by_backlog(flows: Flows, redis: Redis, plan: Plan) -> list[tuple[int, float]]:
    """The cost of a job for each size of the backlog of its flows."""
    found, jobs = [], 0
    await job_us(flows, redis, plan.probes)
    for size in plan.backlogs:
        await fill(flows, "probe", range(jobs, size), PROBE_FLOWS, 0)
        jobs = size
        found.append((size, await job_us(flows, redis, plan.probes)))
        log_progress(f"{size:,} jobs wait: {found[-1][1]:.0f} us")
    return found


async def by_flows(flows: Flows, redis: Redis, plan: Plan) -> list[tuple[int, float]]:
    """The cost of a job for each number of other flows, which are not due."""
    found = []
    for count in plan.flows:
        await redis.flushall()
        await flows.prepare()
        await fill(flows, "others", range(min(FLOWS_BACKLOG, max(plan.flows))), count, HOUR_US)
        found.append((count, await job_us(flows, redis, plan.probes)))
        log_progress(f"{count:,} flows sleep: {found[-1][1]:.0f} us")
    return found


async def memory(flows: Flows, redis: Redis, jobs: int, count: int) -> tuple[float, float, float]:
    """Bytes a job, seconds until a changed rate reached all flows, and the share of memory left with 1 % of jobs."""
    await redis.flushall()
    await flows.prepare()
    empty = await memory_mb(redis)
    await fill(flows, "r", range(jobs), count, HOUR_US)
    full = await memory_mb(redis)
    start = time.monotonic()
    await flows.reschedule("r", rule("r", 2, 1000))
    rescheduled_s = time.monotonic() - start
    await drain(flows, int(jobs * (1 - LEFT)))
    await asyncio.sleep(3)  # the records of final jobs are kept for a second
    while await records(redis) > 1.5 * jobs * LEFT:  # noqa: ASYNC110 - Redis removes expired records in its own time
        await asyncio.sleep(0.5)
    return (full - empty) * 1e6 / jobs, rescheduled_s, (await memory_mb(redis) - empty) / (full - empty)


async def bench(place: Path, cores: Cores, plan: Plan) -> None:
    """Measure all of it on a queue Redis of its own, and print the tables."""
    async with stores.queue_only(place) as (url, pid):
        pin(pid, cores.server)
        settings = Settings(queue_redis_url=url, queue_timeout_ms=60_000)
        redis = queue_redis(settings)
        scripts = queue_scripts(settings)
        flows = Flows(redis, scripts, settings)
        await flows.prepare()
        backlogs = await by_backlog(flows, redis, plan)
        others = await by_flows(flows, redis, plan)
        jobs, count = plan.backlogs[-2] if len(plan.backlogs) > 2 else plan.backlogs[-1], max(plan.flows) // 10
        bytes_a_job, rescheduled_s, left = await memory(flows, redis, jobs, count)
        await redis.aclose()
        await scripts.aclose()
    for title, what, found in (("Backlog", "jobs wait", backlogs), ("Flows", "flows sleep", others)):
        rows = [[f"{size:,}", f"{cost:.0f} us", f"{cost / found[0][1]:.2f}"] for size, cost in found]
        show_table(f"{title}: enqueue, take, lease and settle one job", (what, "CPU a job", "ratio"), rows)
    print(
        f"{jobs:,} jobs of {count:,} flows: a changed rate reached all after {rescheduled_s:.2f} s;"
        f" with {LEFT:.0%} of the jobs left {left:.1%} of the memory is in use\n"
    )
    show_targets(
        [
            _flat(f"a job's cost, {plan.backlogs[-1]:,} waiting / {plan.backlogs[0]:,}", backlogs),
            _flat(f"a job's cost, {plan.flows[-1]:,} flows / {plan.flows[0]:,}", others),
            TargetCheck("memory of a waiting job with a body of 400 bytes", bytes_a_job, 1200, False, "bytes"),
        ]
    )


def _flat(what: str, found: list[tuple[int, float]]) -> TargetCheck:
    return TargetCheck(what, found[-1][1] / found[0][1], 1.2, at_least=False)
