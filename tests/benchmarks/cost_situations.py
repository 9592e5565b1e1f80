"""Measures every script of the queue with few jobs and with very many, in each state that jobs can pile up in."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks import queue_steps, stores
from tests.benchmarks.cost_actions import ANOTHER_RULE, Actions
from tests.benchmarks.cost_meter import CostMeter, Costs, Growth, compare
from tests.benchmarks.plan import Plan
from tests.benchmarks.population import Population
from tests.benchmarks.processes import Cores, pin
from tests.benchmarks.progress import log_progress
from tests.benchmarks.samples import TargetCheck
from tests.benchmarks.table import show_table, show_targets

BACKS_OFF_S = 2.0
STOPPED_AFTER_S = 0.5
SOON_S = 2.0
USED_UP = 1_000
"""Extra jobs, because the calls settle some."""

MOST_US = 5_000
MOST_GROWTH = 3.0


async def measure(url: str, jobs: int, others: int) -> Costs:
    """Measure all scripts on this Redis, which is emptied, with this many jobs in one flow.

    `others`: the number of jobs in the situations that are not about one flow's backlog.
    """
    population = Population.on(url)
    meter = CostMeter(population.node, "app.queue")
    actions = Actions(population, meter)
    try:
        await _one_flow(population, actions, jobs)
        await _many_flows(population, actions, others)
        await _expired(population, actions, others, "expired, one flow", 1)
        await _expired(population, actions, others, "expired, a flow each", others)
        await _by_kafka(population, actions, others)
        await population.redis.flushall(asynchronous=False)
    finally:
        await population.aclose()
    return meter.costs


async def _one_flow(population: Population, actions: Actions, jobs: int) -> None:
    """The only flow of one owner, whose jobs wait, back off, return, are leased and fail."""
    await population.begin(queue_steps.user_rule())
    await population.fill(jobs + USED_UP)
    _enter(actions, "waiting", jobs)
    await actions.clients()
    await actions.enqueue()
    await actions.work()
    due_at_s = await population.back_off(await population.lease_all(), BACKS_OFF_S)
    _enter(actions, "backing off", jobs)
    await actions.clients()
    await actions.enqueue()
    await actions.purge(ANOTHER_RULE, STOPPED_AFTER_S)
    await asyncio.sleep(due_at_s - time.monotonic())
    _enter(actions, "returning", jobs)
    await actions.work()
    await actions.clients()
    leased = await population.lease_all()
    _enter(actions, "in flight", jobs)
    await actions.clients()
    await actions.enqueue()
    await actions.in_flight(leased)
    await population.fail([*leased, *await population.lease_all()])
    _enter(actions, "dead", jobs)
    await actions.clients()
    await actions.enqueue()
    await actions.dead_letters()
    await actions.expire()


async def _many_flows(population: Population, actions: Actions, jobs: int) -> None:
    """One job in each of many flows of one rule."""
    await population.begin(queue_steps.user_rule(), jobs)
    await population.fill(jobs)
    _enter(actions, "a flow each", jobs)
    await actions.clients()
    await actions.enqueue()
    await actions.work()
    await actions.reschedule()
    await actions.purge(population.rule.rule_id, STOPPED_AFTER_S)


async def _expired(population: Population, actions: Actions, jobs: int, situation: str, flows: int) -> None:
    """Jobs that have waited longer than their rule allows."""
    await population.begin(queue_steps.user_rule(max_wait_seconds=SOON_S), flows)
    await population.fill(jobs)
    await asyncio.sleep(SOON_S)
    _enter(actions, situation, jobs)
    await actions.clients()
    await actions.take()
    await actions.lease()
    await actions.expire()


async def _by_kafka(population: Population, actions: Actions, jobs: int) -> None:
    """One flow whose requests come through Kafka: not read yet, then spilled, then missing."""
    await population.begin(queue_steps.user_rule())
    await population.fill(jobs, population.record)
    _enter(actions, "messages not read yet", jobs)
    await actions.clients()
    await actions.intake()
    await population.admit_all()
    _enter(actions, "requests left on Kafka", jobs)
    await actions.clients()
    await actions.work()
    await population.fail(await population.lease_all())
    await actions.refill()
    await population.begin(queue_steps.user_rule())
    await population.fill(jobs, population.record)
    _enter(actions, "messages that never came", jobs)
    await actions.sweep(STOPPED_AFTER_S)


def _enter(actions: Actions, situation: str, jobs: int) -> None:
    actions.situation = situation
    log_progress(f"{jobs:,} jobs: {situation}")


async def bench(place: Path, cores: Cores, plan: Plan) -> None:
    """Measure with few jobs and with very many, and print the table."""
    async with stores.queue_only(place) as (url, pid):
        pin(pid, cores.server)
        costs = [await measure(url, jobs, jobs) for jobs in plan.cost_jobs]
    show(compare(*costs), plan)


def show(found: Sequence[Growth], plan: Plan) -> None:
    """Print a line for each script in each situation, and the two targets."""
    few, many = (f"{jobs:,}" for jobs in plan.cost_jobs)
    rows = [
        [
            f"{growth.step.situation}: {growth.step.action}", growth.step.script, f"{growth.small_us:,.0f} us",
            f"{growth.large_us:,.0f} us", f"{growth.factor:.1f}", f"{growth.worst_us:,.0f} us", f"{growth.calls:,}",
        ]
        for growth in found
    ]  # fmt: skip
    head = ("situation and call", "script", f"median, {few} jobs", f"median, {many} jobs", "growth", "highest", "calls")
    show_table("Scripts of the queue: CPU of Redis for one call", head, rows)
    highest, factor = max(growth.worst_us for growth in found), max(growth.factor for growth in found)
    show_targets(
        [
            TargetCheck(f"the most expensive call with {many} jobs", highest, MOST_US, at_least=False, unit="us"),
            TargetCheck(f"the largest growth from {few} to {many} jobs", factor, MOST_GROWTH, at_least=False),
        ]
    )
