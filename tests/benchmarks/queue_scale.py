"""How the queue scales: what a job costs as backlog and flows grow, its memory, and a rate changed for many flows."""

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
from tests.benchmarks import stores
from tests.benchmarks.plan import Plan
from tests.benchmarks.processes import Cores, pin
from tests.benchmarks.progress import say
from tests.benchmarks.samples import Verdict
from tests.benchmarks.table import show_cells, show_verdicts

AT_ONCE = 500
LEFT = 0.01
HOUR_US = 3_600_000_000
PROBE_FLOWS = 128
FLOWS_BACKLOG = 100_000
"""At least one job for each flow, and the same number whatever the flows."""


def rule(rule_id: str, revision: int, per_s: int) -> ActiveRule:
    fields = {"rule_id": rule_id, "key_type": "user", "key_value": "*", "limit": 1, "window_seconds": 3600}
    queue = {"max_depth": 10_000_000, "max_wait_seconds": 30_000_000, "result_ttl_seconds": 1}
    drain = {"limit": per_s, "window_seconds": 1}
    return ActiveRule(parse_rule({**fields, "on_limit": "defer", "queue": queue, "drain": drain}), revision)


def deferral(number: int, flows: int, active: ActiveRule, due_in_us: int) -> Deferral:
    whom = descriptor("user", f"user_{number % flows}")
    request = StoredRequest("POST", b"/work", [(b"content-type", b"text/plain")], b"x" * 400)
    charges = (FrozenCharge(active.rule_id, whom, 1),)
    return Deferral(active, whom, charges, "", request, due_in_us=due_in_us)


async def enqueue(flows: Flows, rule_id: str, numbers: Iterable[int], count: int, due_in_us: int) -> None:
    active = rule(rule_id, 1, 1)
    await asyncio.gather(*(flows.enqueue(deferral(number, count, active, due_in_us)) for number in numbers))


async def fill(flows: Flows, rule_id: str, jobs: range, count: int, due_in_us: int) -> None:
    for first in range(jobs.start, jobs.stop, AT_ONCE):
        await enqueue(flows, rule_id, range(first, min(first + AT_ONCE, jobs.stop)), count, due_in_us)


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
            leased = await flows.lease(flow, min(flow.same_cost, count), consumer="c", due_in_us=0, look=AT_ONCE)
            assert leased is not None
            settlements += [Settlement(job, JobStatus.SUCCEEDED) for job in leased.jobs]
            count -= len(leased.jobs)
        for first in range(0, len(settlements), 100):
            await flows.settle(settlements[first : first + 100])


async def used_cpu_s(redis: Redis) -> float:
    """CPU of the Redis and of this process: together what a job costs."""
    cpu = await redis.info("cpu")
    return float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"]) + time.process_time()


async def job_us(flows: Flows, redis: Redis, probes: int) -> float:
    """CPU of one job from its enqueueing to its outcome, in microseconds; as many wait afterwards as before."""
    before = await used_cpu_s(redis)
    await fill(flows, "probe", range(probes), PROBE_FLOWS, 0)
    await drain(flows, probes)
    return (await used_cpu_s(redis) - before) / probes * 1e6


async def by_backlog(flows: Flows, redis: Redis, plan: Plan) -> list[tuple[int, float]]:
    """What a job costs in flows that so many jobs wait in."""
    found, jobs = [], 0
    await job_us(flows, redis, plan.probes)
    for size in plan.backlogs:
        await fill(flows, "probe", range(jobs, size), PROBE_FLOWS, 0)
        jobs = size
        found.append((size, await job_us(flows, redis, plan.probes)))
        say(f"{size:,} jobs wait: {found[-1][1]:.0f} us")
    return found


async def by_flows(flows: Flows, redis: Redis, plan: Plan) -> list[tuple[int, float]]:
    """What a job costs beside so many flows of others, which sleep."""
    found = []
    for count in plan.flows:
        await redis.flushall()
        await flows.prepare()
        await fill(flows, "others", range(min(FLOWS_BACKLOG, max(plan.flows))), count, HOUR_US)
        found.append((count, await job_us(flows, redis, plan.probes)))
        say(f"{count:,} flows sleep: {found[-1][1]:.0f} us")
    return found


async def memory(flows: Flows, redis: Redis, jobs: int, count: int) -> tuple[float, float, float]:
    """Bytes a job; seconds until a changed rate reached all flows; the part of the memory that 1 % of the jobs take."""
    await redis.flushall()
    await flows.prepare()
    empty = await memory_mb(redis)
    await fill(flows, "r", range(jobs), count, HOUR_US)
    full = await memory_mb(redis)
    start = time.monotonic()
    await flows.reschedule("r", rule("r", 2, 1000))
    rescheduled_s = time.monotonic() - start
    await drain(flows, int(jobs * (1 - LEFT)))
    await asyncio.sleep(3)  # the records of what is done have a second to live
    while await records(redis) > 1.5 * jobs * LEFT:  # noqa: ASYNC110 - Redis forgets them at its own pace
        await asyncio.sleep(0.5)
    return (full - empty) * 1e6 / jobs, rescheduled_s, (await memory_mb(redis) - empty) / (full - empty)


async def bench(place: Path, cores: Cores, plan: Plan) -> None:
    """Measure all of it on a queue Redis of its own, and print."""
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
        show_cells(f"{title}: enqueue, take, lease and settle one job", (what, "CPU a job", "ratio"), rows)
    print(
        f"{jobs:,} jobs of {count:,} flows: a changed rate reached all after {rescheduled_s:.2f} s;"
        f" with {LEFT:.0%} of the jobs left {left:.1%} of the memory is in use\n"
    )
    show_verdicts(
        [
            _flat(f"a job's cost, {plan.backlogs[-1]:,} waiting / {plan.backlogs[0]:,}", backlogs),
            _flat(f"a job's cost, {plan.flows[-1]:,} flows / {plan.flows[0]:,}", others),
            Verdict("memory of a waiting job with a body of 400 bytes", bytes_a_job, 1200, False, "bytes"),
        ]
    )


def _flat(what: str, found: list[tuple[int, float]]) -> Verdict:
    return Verdict(what, found[-1][1] / found[0][1], 1.2, at_least=False)
