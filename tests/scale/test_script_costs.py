"""No script of the queue keeps Redis busy for long, or for longer where very many jobs have piled up.

Costs are CPU time that Redis says it has used, not the wall clock, so other processes hardly matter.
"""

import asyncio
from collections import Counter
from collections.abc import Collection
from pathlib import Path

import pytest

from tests.benchmarks import queue_steps, stores
from tests.benchmarks.cost_meter import Growth, compare, scripts_of
from tests.benchmarks.cost_situations import MOST_GROWTH, MOST_US, SITUATIONS, measure
from tests.benchmarks.population import Population
from tests.support.populations import Bring, filled

pytestmark = [
    pytest.mark.plain,  # tests/benchmarks/cost_meter.py says why
    pytest.mark.xdist_group("script-costs"),  # what is measured is measured once
]

FEW, MANY = 1_000, 100_000
JOBS = 30
MOST_MEASUREMENTS = 4


@pytest.fixture(scope="module")
def growths(tmp_path_factory: pytest.TempPathFactory) -> list[Growth]:
    """What was measured. A step is over a bound if every measurement, each in a Redis of its own, finds it so.

    The machine is slow at times, for a step in one measurement or another; a script that is slow always is.
    """
    found = asyncio.run(_measured(tmp_path_factory.mktemp("costs"), SITUATIONS))
    for _ in range(MOST_MEASUREMENTS - 1):
        over = [growth for growth in found if _is_over(growth)]
        if not over:
            break
        print("measured again for", over)
        again = asyncio.run(_measured(tmp_path_factory.mktemp("again"), {growth.step.situation for growth in over}))
        latest = {growth.step: growth for growth in again}
        found = [latest.get(growth.step, growth) if _is_over(growth) else growth for growth in found]
    return found


def _is_over(growth: Growth) -> bool:
    return growth.median_us > MOST_US or growth.factor > MOST_GROWTH


async def _measured(folder: Path, situations: Collection[str]) -> list[Growth]:
    async with stores.queue_only(folder) as (url, _):
        return compare(await measure(url, FEW, situations), await measure(url, MANY, situations))


def test_no_call_keeps_redis_busy_for_five_milliseconds(growths: list[Growth]) -> None:
    assert [growth for growth in growths if growth.median_us > MOST_US] == []


def test_no_call_takes_three_times_as_long_with_a_hundred_times_as_many_jobs(growths: list[Growth]) -> None:
    assert [growth for growth in growths if growth.factor > MOST_GROWTH] == []


def test_every_script_is_measured(growths: list[Growth]) -> None:
    assert {growth.step.script for growth in growths} == set(scripts_of("app.queue"))


async def _waiting(population: Population) -> str:
    return await population.enqueue()


async def _returned(population: Population) -> str:
    return await population.backing_off(0.0)


async def _abandoned(population: Population) -> str:
    return (await population.leased()).id


async def _from_kafka(population: Population) -> str:
    return await population.record()


@pytest.mark.parametrize("in_flows", [False, True], ids=["one flow", "a flow each"])
@pytest.mark.parametrize("bring", [_waiting, _returned, _abandoned, _from_kafka])
def test_copied_jobs_end_as_others_do(bring: Bring, in_flows: bool, tmp_path: Path) -> None:
    """What is measured would not count if copies were not in the state of the job that was copied."""

    async def check() -> None:
        async with stores.queue_only(tmp_path) as (url, _):
            population = Population.on(url)
            left = []
            async for _ in filled(population, bring, JOBS, in_flows=in_flows):
                left.append(await _left_when_all_have_ended(population))
            await population.aclose()
            assert left[0] == left[1]
            assert left[0]["{q0}:job"] == JOBS

    asyncio.run(check())


async def _left_when_all_have_ended(population: Population) -> Counter[str]:
    """How many keys are left of each kind. Requires that every job was sent once."""
    await population.flows.reclaim(0, "another", 0.0)
    if await population.redis.exists("{q0}:kafka"):
        await population.admit(population.ids)
    leased = await queue_steps.take_and_lease(population.flows)
    assert sorted(job.id for job in leased) == sorted(population.ids)
    await queue_steps.settle(population.flows, leased)
    keys = [str(key, "utf-8") async for key in population.redis.scan_iter(count=1000)]
    return Counter(":".join(key.split(":")[:2]) for key in keys)
