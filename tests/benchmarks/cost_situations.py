"""Measures every script of the queue with few jobs and with very many, in each state that jobs can pile up in."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from app.queue.outcomes import LOOK
from tests.benchmarks import queue_steps, stores
from tests.benchmarks.cost_actions import ANOTHER_RULE, BATCH, FOREVER_S, Actions
from tests.benchmarks.cost_meter import CostMeter, Costs, Growth, compare
from tests.benchmarks.plan import Plan
from tests.benchmarks.population import KAFKA_WINDOW, Population
from tests.benchmarks.processes import Cores, pin
from tests.benchmarks.progress import log_progress
from tests.benchmarks.samples import TargetCheck
from tests.benchmarks.table import show_table, show_targets

SOON_S = 2.0
USED_UP = 1_000
"""Extra jobs, because the calls cancel and settle some: a page of what is left has as many as where there are more."""

OUTCOMES_A_LOOK = 2 * LOOK
"""Extra outcomes, because a search looks at so many in one call, where it finds none."""

RINGS = 128
MOST_IN_RINGS = 20_000
"""Flows in rings: they form by real calls, one flow at a time."""

AT_ONCE = 500
Situation = Callable[[Population, Actions, int], Awaitable[None]]

MOST_US = 5_000
MOST_GROWTH = 3.0


async def measure(url: str, jobs: int, names: Collection[str] = ()) -> Costs:
    """Measure scripts on this Redis, which is emptied, with this many jobs in each of these situations (or in all)."""
    population = Population.on(url)
    meter = CostMeter(population.node, "app.queue")
    actions = Actions(population, meter)
    try:
        for name in names or SITUATIONS:
            actions.situation = name
            log_progress(f"{jobs:,} jobs: {name}")
            await SITUATIONS[name](population, actions, jobs)
        await population.redis.flushall(asynchronous=False)
    finally:
        await population.aclose()
    return meter.costs


async def _waiting(population: Population, actions: Actions, jobs: int) -> None:
    """The only flow of one owner."""
    await population.begin(queue_steps.user_rule())
    await population.multiply(await population.enqueue(), jobs + USED_UP)
    await actions.clients()
    await actions.enqueue()
    await actions.work()
    await actions.expire()


async def _backing_off(population: Population, actions: Actions, jobs: int) -> None:
    await population.begin(queue_steps.user_rule())
    await population.multiply(await population.backing_off(FOREVER_S), jobs + USED_UP)
    await actions.operators()
    await actions.clients()
    await actions.enqueue()
    await actions.count_waiting(ANOTHER_RULE)
    await actions.purge(ANOTHER_RULE)


async def _returning(population: Population, actions: Actions, jobs: int) -> None:
    """All have backed off for long enough, and nobody has looked yet."""
    await population.begin(queue_steps.user_rule())
    await population.multiply(await population.backing_off(0.0), jobs + USED_UP)
    await actions.clients()  # before others end some of the jobs and bring others back
    await actions.work()
    await population.begin(queue_steps.user_rule())
    await population.multiply(await population.backing_off(0.0), jobs)
    await actions.expire()


async def _in_flight(population: Population, actions: Actions, jobs: int) -> None:
    await population.begin(queue_steps.user_rule())
    job = await population.leased()
    await population.multiply(job.id, jobs)
    await actions.clients(can_cancel=False)
    await actions.enqueue()
    await actions.in_flight([replace(job, id=job_id) for job_id in population.ids])
    await actions.reclaim()


async def _dead(population: Population, actions: Actions, jobs: int) -> None:
    await population.begin(queue_steps.user_rule())
    await population.multiply(await population.dead(), jobs)
    await actions.clients(can_cancel=False)
    await actions.enqueue()
    await actions.dead_letters()
    await actions.batches_of_dead_letters()
    await actions.expire()


async def _ended(population: Population, actions: Actions, jobs: int) -> None:
    """Jobs have succeeded, and some more wait."""
    await population.begin(queue_steps.user_rule())
    await population.ended(jobs + OUTCOMES_A_LOOK)
    await population.multiply(await population.enqueue(), USED_UP)
    await actions.outcomes()


async def _many_flows(population: Population, actions: Actions, jobs: int) -> None:
    """One job in each of many flows of one rule."""
    await population.begin(queue_steps.user_rule(), jobs + USED_UP)
    await population.multiply(await population.enqueue(), jobs + USED_UP, in_flows=True)
    await actions.operators()
    await actions.clients()
    await actions.enqueue()
    await actions.work()
    await actions.expire()
    await actions.make_due()
    await actions.pause()
    await actions.reschedule()
    await actions.look_at_flows()
    await actions.count_waiting(population.rule.rule_id)
    await actions.purge(population.rule.rule_id)


async def _rings(population: Population, actions: Actions, jobs: int) -> None:
    """One job in each of many flows. Those that share an address wait for it in a ring."""
    flows = min(jobs, MOST_IN_RINGS)
    await population.begin(queue_steps.user_rule(), flows)
    population.addresses = RINGS
    for first in range(0, flows, AT_ONCE):
        await asyncio.gather(*(population.enqueue() for _ in range(first, min(first + AT_ONCE, flows))))
    await actions.take_turns()


async def _expired(population: Population, actions: Actions, jobs: int, *, in_flows: bool) -> None:
    """Jobs that have waited longer than their rule allows."""
    await population.begin(queue_steps.user_rule(max_wait_seconds=SOON_S), jobs if in_flows else 1)
    await population.multiply(await population.enqueue(), jobs + USED_UP, in_flows=in_flows)
    await asyncio.sleep(SOON_S)
    await actions.clients()
    await actions.take()
    await actions.lease_expired()
    await actions.expire()


async def _awaiting_kafka(population: Population, actions: Actions, jobs: int) -> None:
    """Their messages have not been read from Kafka yet."""
    await population.begin(queue_steps.user_rule())
    await population.multiply(await population.record(), jobs + USED_UP)
    await actions.clients()
    await actions.intake()


async def _spilled(population: Population, actions: Actions, jobs: int) -> None:
    """All but the first stay on Kafka."""
    await population.begin(queue_steps.user_rule())
    for _ in range(KAFKA_WINDOW + 1):
        await population.record()
    await population.admit(population.ids)
    await population.multiply(population.ids[-1], jobs + USED_UP)
    await actions.clients()
    await actions.work()
    while leased := await population.lease(BATCH):
        await population.fail(leased)
    await actions.refill()


async def _unpublished(population: Population, actions: Actions, jobs: int) -> None:
    """Dead letters that Kafka has not got yet."""
    await population.begin(queue_steps.user_rule())
    await population.record()
    await population.admit(population.ids)
    [job] = await population.lease(1)
    await population.fail([job])
    await population.multiply(job.id, jobs)
    await actions.publish()


async def _never_produced(population: Population, actions: Actions, jobs: int, *, in_flows: bool) -> None:
    """The edge went away before it produced their messages."""
    await population.begin(queue_steps.user_rule(), jobs if in_flows else 1)
    await population.multiply(await population.record(), jobs, in_flows=in_flows)
    await actions.sweep()


SITUATIONS: dict[str, Situation] = {
    "waiting": _waiting,
    "backing off": _backing_off,
    "returning": _returning,
    "in flight": _in_flight,
    "dead": _dead,
    "ended": _ended,
    "a flow each": _many_flows,
    f"in {RINGS} rings": _rings,
    "expired, one flow": partial(_expired, in_flows=False),
    "expired, a flow each": partial(_expired, in_flows=True),
    "messages not read yet": _awaiting_kafka,
    "requests left on Kafka": _spilled,
    "dead letters to publish": _unpublished,
    "messages that never came": partial(_never_produced, in_flows=False),
    "messages that never came, a flow each": partial(_never_produced, in_flows=True),
}
"""How jobs pile up, by the name that a step gives for it."""


async def bench(place: Path, cores: Cores, plan: Plan) -> None:
    """Measure with few jobs and with very many, and print the table."""
    async with stores.queue_only(place) as (url, pid):
        pin(pid, cores.server)
        costs = [await measure(url, jobs) for jobs in plan.cost_jobs]
    show(compare(*costs), plan)


def show(found: Sequence[Growth], plan: Plan) -> None:
    """Print a line for each script in each situation, and the two targets."""
    few, many = (f"{jobs:,}" for jobs in plan.cost_jobs)
    rows = [
        [
            f"{growth.step.situation}: {growth.step.action}", growth.step.script, f"{growth.small_us:,.0f} us",
            f"{growth.large_us:,.0f} us", f"{growth.factor:.1f}", f"{growth.median_us:,.0f} us",
            f"{growth.worst_us:,.0f} us", f"{growth.calls:,}",
        ]
        for growth in found
    ]  # fmt: skip
    head = ("situation and call", "script", f"{few} jobs", f"{many} jobs", "growth", "median", "highest", "calls")
    show_table("Scripts of the queue: CPU of Redis for one call", head, rows)
    highest, factor = max(growth.worst_us for growth in found), max(growth.factor for growth in found)
    show_targets(
        [
            TargetCheck(f"the most expensive call with {many} jobs", highest, MOST_US, at_least=False, unit="us"),
            TargetCheck(f"the largest growth from {few} to {many} jobs", factor, MOST_GROWTH, at_least=False),
        ]
    )
