"""How long an operator waits for one caller's job among very many, and how long one call keeps the queue Redis busy."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import monotonic

from app.jobs.model import Job, JobStatus
from app.queue.job_details import read_details
from app.queue.job_filter import JobFilter
from app.queue.job_search import JobSearch
from app.queue.waiting import WaitReason, why_waiting
from app.settings import Settings
from tests.benchmarks import queue_steps, stores
from tests.benchmarks.cost_meter import CostMeter
from tests.benchmarks.errors import require
from tests.benchmarks.plan import Plan
from tests.benchmarks.population import Population
from tests.benchmarks.processes import Cores, pin
from tests.benchmarks.progress import log_progress
from tests.benchmarks.samples import TargetCheck
from tests.benchmarks.table import show_table, show_targets

OUTCOMES = 100_000
ONE_IN = 10
"""One job in so many is the only one of its flow; the others are in one deep flow."""

MOST_S = 1.0
MOST_US = 5_000
PAGE = 100
QUEUED = frozenset({JobStatus.QUEUED})
FAILED = frozenset({JobStatus.FAILED})


@dataclass(frozen=True)
class Found:
    """One search: how many jobs and pages it had, and how long all of them took."""

    what: str
    jobs: int
    pages: int
    seconds: float


async def bench(place: Path, cores: Cores, plan: Plan) -> None:
    """Fill a queue, search it in rounds, and print the table."""
    jobs = max(plan.backlogs)
    async with stores.queue_only(place) as (url, pid):
        pin(pid, cores.server)
        population = Population.on(url)
        await _fill(population, jobs)
        search = JobSearch(population.redis, population.scripts, population.records, Settings(queue_redis_url=url))
        meter = CostMeter(population.node, "app.queue")
        rounds = []
        for number in range(1, plan.rounds + 1):
            rounds.append(await _search_all(population, search, jobs // ONE_IN))
            log_progress(f"round {number}: {max(one.seconds for one in rounds[-1]):.2f} s for the longest search")
        await meter.measure(f"{jobs:,} jobs", "search", [lambda: _search_all(population, search, jobs // ONE_IN)])
        await population.aclose()
    show(rounds, meter, jobs, plan)


async def _fill(population: Population, jobs: int) -> None:
    """Waiting jobs in many flows and in a deep one, some that back off, and outcomes."""
    flows = jobs // ONE_IN
    await population.begin(queue_steps.user_rule(), flows)
    await population.ended(OUTCOMES)
    population.ids = []
    await population.multiply(await population.enqueue(), flows, in_flows=True)
    log_progress(f"{flows:,} flows")
    await population.multiply(await population.enqueue(), jobs - flows)
    log_progress(f"{jobs:,} jobs")


async def _search_all(population: Population, search: JobSearch, flows: int) -> list[Found]:
    """Look for one caller's job in each way, and for what nobody has."""
    user = queue_steps.user_name(flows - 7)
    owner, descriptor = f"{queue_steps.owner_by_number(0, flows)[:-8]}{flows - 7:08}", f"user:{user}"
    rule_id, flow = population.rule.rule_id, queue_steps.deferral(flows - 7, flows, population.rule).flow
    ways: list[tuple[str, JobFilter]] = [
        ("by its owner", JobFilter(owner=owner)),
        ("by its flow", JobFilter(flow=flow, statuses=QUEUED)),
        ("by rule and descriptor", JobFilter(rule_id=rule_id, descriptor=descriptor, statuses=QUEUED)),
        ("by descriptor", JobFilter(descriptor=descriptor, statuses=QUEUED)),
    ]
    found = [await _search(search, what, wanted, expected=1) for what, wanted in ways]
    nobody = await _search(search, "nobody's, in every status", JobFilter(descriptor="user:nobody"), expected=0)
    failed = await _search(search, "failures among the outcomes", JobFilter(statuses=FAILED), expected=0)
    first = [
        await _search(search, f"the first {PAGE} {what}", wanted, expected=PAGE, pages=1)
        for what, wanted in (("of the rule", JobFilter(rule_id=rule_id)), ("of all jobs", JobFilter()))
    ]
    return [*found, nobody, failed, *first, await _look(population, search, flow)]


async def _search(search: JobSearch, what: str, wanted: JobFilter, expected: int, pages: int = 1_000) -> Found:
    start, jobs, cursor, read = monotonic(), list[Job](), None, 0
    while read < pages:
        page = await search.page(wanted, PAGE, cursor)
        jobs, cursor, read = jobs + page.jobs, page.next, read + 1
        if cursor is None:
            break
    require(len(jobs) == expected, f"{what}: {len(jobs)} jobs were found, not {expected}")
    return Found(what, len(jobs), read, monotonic() - start)


async def _look(population: Population, search: JobSearch, flow: str) -> Found:
    """Find the job and see why it waits."""
    start = monotonic()
    [job] = (await search.page(JobFilter(flow=flow), 1)).jobs
    details = await read_details(population.scripts, job.id)
    explanation = None if details is None else why_waiting(details)
    require(explanation is not None and explanation.reason in WaitReason, "it does not say why it waits")
    return Found("by its flow, and why it waits", 1, 1, monotonic() - start)


def show(rounds: Sequence[Sequence[Found]], meter: CostMeter, jobs: int, plan: Plan) -> None:
    """Print medians over the rounds, and the most expensive call."""
    rows = []
    for searches in zip(*rounds, strict=True):
        seconds = median(one.seconds for one in searches)
        rows.append([searches[0].what, f"{searches[0].jobs}", f"{searches[0].pages}", f"{seconds * 1000:,.0f} ms"])
    title = f"Searching {jobs:,} jobs and {OUTCOMES:,} outcomes, median of {plan.rounds} rounds"
    show_table(title, ("one caller's job", "found", "pages", "time"), rows)
    longest = max(median(one.seconds for one in searches) for searches in zip(*rounds, strict=True))
    worst_us = max(median(costs) for costs in meter.costs.values())
    show_targets(
        [
            TargetCheck("the longest search", longest, MOST_S, at_least=False, unit="s"),
            TargetCheck("the most expensive script call, median", worst_us, MOST_US, at_least=False, unit="us"),
        ]
    )
