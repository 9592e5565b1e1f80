"""The CPU time that a job takes in the queue Redis, by phase, compared with the same bytes through a bare stream."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from redis.asyncio import Redis

from app.clients import queue_redis, queue_scripts
from app.queue.flows import Flows
from app.redis_wire.scripts import Scripts
from app.settings import Settings
from tests.benchmarks import queue_steps, stores
from tests.benchmarks.errors import require
from tests.benchmarks.plan import Plan
from tests.benchmarks.processes import Cores, pin
from tests.benchmarks.progress import log_progress
from tests.benchmarks.samples import TargetCheck
from tests.benchmarks.table import show_table, show_targets

FLOWS = (16, 10_000)
WARM_UP_JOBS = 1_000
AT_MOST_FLOORS = 2.8


@dataclass(frozen=True)
class Life:
    """CPU time of the queue Redis for one job, in microseconds. `floor_us`: the same for the bare stream."""

    enqueue_us: float
    lease_us: float
    settle_us: float
    floor_us: float

    @property
    def sum_us(self) -> float:
        """The cost of all phases."""
        return self.enqueue_us + self.lease_us + self.settle_us

    @property
    def floors(self) -> float:
        """The cost of all phases divided by the floor, which was measured directly before."""
        return self.sum_us / self.floor_us


class LifeMeter:
    """Measures on one queue Redis, which is emptied each time."""

    def __init__(self, redis: Redis, scripts: Scripts, settings: Settings) -> None:
        self._redis = redis
        self._scripts = scripts
        self._flows = Flows(redis, scripts, settings)

    async def measure(self, jobs: int, flows: int) -> Life:
        """Measure the floor and then the phases with these numbers of jobs and flows."""
        await self._empty()
        floor_s = await self._cpu_of(queue_steps.bare_stream(self._scripts.execute, jobs))
        await self._empty()
        await self._flows.prepare()
        enqueue_s = await self._cpu_of(queue_steps.enqueue(self._flows, jobs, flows))
        before = await self._cpu_s()
        leased = await queue_steps.take_and_lease(self._flows)
        lease_s = await self._cpu_s() - before
        require(len(leased) == jobs, f"{jobs} jobs were enqueued, and {len(leased)} leased")
        settle_s = await self._cpu_of(queue_steps.settle(self._flows, leased))
        left = await stores.jobs_waiting(self._redis)
        require(left == 0, f"{left} jobs are left when all have been settled")
        return Life(*(seconds / jobs * 1e6 for seconds in (enqueue_s, lease_s, settle_s, floor_s)))

    async def _empty(self) -> None:
        await self._redis.flushall(asynchronous=False)

    async def _cpu_of(self, steps: Awaitable[None]) -> float:
        before = await self._cpu_s()
        await steps
        return await self._cpu_s() - before

    async def _cpu_s(self) -> float:
        """The CPU time of the server's process, without that of the client."""
        cpu = await self._redis.info("cpu")
        return float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"])


async def bench(place: Path, cores: Cores, plan: Plan) -> None:
    """Measure with few flows and with many, in rounds, and print the table."""
    async with stores.queue_only(place) as (url, pid):
        pin(pid, cores.server)
        settings = Settings(queue_redis_url=url, queue_timeout_ms=60_000)
        redis, scripts = queue_redis(settings), queue_scripts(settings)
        await redis.config_set("auto-aof-rewrite-percentage", 0)
        await scripts.load()
        meter = LifeMeter(redis, scripts, settings)
        await meter.measure(WARM_UP_JOBS, FLOWS[0])
        found: dict[int, list[Life]] = {flows: [] for flows in FLOWS}
        for number in range(1, plan.rounds + 1):
            for flows, lives in found.items():
                lives.append(await meter.measure(plan.life_jobs, flows))
                log_progress(
                    f"round {number}: {flows:,} flows: {lives[-1].sum_us:.1f} us, {lives[-1].floors:.2f} floors"
                )
        await redis.aclose()
        await scripts.aclose()
    show(found, plan)


def show(found: dict[int, list[Life]], plan: Plan) -> None:
    """Print medians over the rounds. The ratio is the median of the ratios of each round."""
    quantities = {
        "enqueue": [[life.enqueue_us for life in lives] for lives in found.values()],
        "take, lease and give back": [[life.lease_us for life in lives] for lives in found.values()],
        "settle": [[life.settle_us for life in lives] for lives in found.values()],
        "sum": [[life.sum_us for life in lives] for lives in found.values()],
        "floor: a bare stream": [[life.floor_us for life in lives] for lives in found.values()],
    }
    rows = [[name, *(f"{median(values):.1f} us" for values in columns)] for name, columns in quantities.items()]
    rows.append(["sum / floor", *(_spread([life.floors for life in lives]) for lives in found.values())])
    title = f"The life of a job: CPU of the queue Redis, {plan.life_jobs:,} jobs, median of {plan.rounds} rounds"
    show_table(title, ("phase", *(f"{flows:,} flows" for flows in found)), rows)
    show_targets([target_check(flows, lives) for flows, lives in found.items()])


def target_check(flows: int, lives: Sequence[Life]) -> TargetCheck:
    """The target for the cost of a job, as a multiple of the floor."""
    ratio = median(life.floors for life in lives)
    return TargetCheck(f"the life of a job / the bare stream, {flows:,} flows", ratio, AT_MOST_FLOORS, at_least=False)


def _spread(values: Sequence[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"
