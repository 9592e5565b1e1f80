"""A page of `/v1/flows` among 100,000 flows: what it asks of the queue Redis, and what it takes of the admin process.

Costs are CPU time, as Redis and the kernel account for it, so other processes hardly matter.
"""

import time
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, cast

import pytest
from redis.asyncio import Redis

from app.admin.operators import Operator, Role
from app.admin.services.flow_rates import FlowRates
from app.admin.services.flows import FlowService
from app.admin.services.flows_model import FlowOrder, FlowPage, FlowQuery
from app.admin.services.paused import PausedFlows
from app.rules.cache import RuleCache
from app.settings import Settings
from sync.publisher import Publisher
from tests.benchmarks import queue_steps, stores
from tests.benchmarks.cost_meter import CostMeter
from tests.benchmarks.population import Population
from tests.support.rules import publish_all
from tests.support.sync_steps import following
from tests.support.waiting import eventually

pytestmark = pytest.mark.plain  # tests/benchmarks/cost_meter.py says why

FEW, MANY = 3_000, 100_000
MOST_US = 5_000
MOST_S = 0.1
MOST_GROWTH = 3
VERA = Operator("vera", Role.VIEWER)
NOBODY = cast(Any, None)
"""For the audit, which is not told that somebody looks."""


class Looked(NamedTuple):
    """What it took to look at all flows once, and at pages of them: script calls in microseconds, process time in s."""

    sweep_us: list[float]
    calls: dict[str, list[list[float]]]
    """By script, for each page in turn."""
    first_s: list[float]
    next_s: list[float]
    pages: list[FlowPage]


async def look(population: Population, flows: int, rules: RuleCache) -> Looked:
    await population.begin(queue_steps.user_rule(), flows)
    await population.multiply(await population.enqueue(), flows, in_flows=True)
    settings = population.flow_settings
    rates, paused = FlowRates(rules), PausedFlows(settings)
    service = FlowService(population.views, rates, settings, paused, population.operations, NOBODY)
    meter = CostMeter(population.node, "app.queue")
    await meter.measure("", "sweep", [service.index._sweep])
    sweep_us = [cost for costs in meter.costs.values() for cost in costs]
    looked = Looked(sweep_us, {}, [], [], [])
    for sort in FlowOrder:
        after = None
        for times_s in (looked.first_s, looked.next_s, looked.next_s):
            meter.costs.clear()
            query, began_s = FlowQuery(sort=sort, after=after), time.process_time()
            looked.pages.append(await service.page(VERA, query))
            times_s.append(time.process_time() - began_s)
            await meter.measure("", "page", [lambda query=query: service.page(VERA, query)])  # type: ignore[misc]
            for step, costs in meter.costs.items():
                looked.calls.setdefault(step.script, []).append(costs)
            after = looked.pages[-1].next
    return looked


@pytest.mark.alone
async def test_a_page_among_very_many_flows_costs_what_one_among_few_does(
    cache: Redis, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.admin.services.flow_index.MAX_PAUSE_S", 0.0)
    async with stores.queue_only(tmp_path) as (url, _):
        population = Population.on(url)
        await publish_all(Publisher(cache), [queue_steps.user_rule().rule], 1)
        async with following(settings) as rules:
            await eventually(lambda: rules.has_rules, 10, "the rules are known")
            few, many = await look(population, FEW, rules), await look(population, MANY, rules)
        await population.aclose()
    for page in many.pages:
        assert (len(page.flows), page.total, page.complete) == (100, MANY, True)
    assert len({flow.id for page in many.pages[:3] for flow in page.flows}) == 300, "pages follow one another"

    assert {script: list(map(len, calls)) for script, calls in many.calls.items()} == {
        script: list(map(len, calls)) for script, calls in few.calls.items()
    }, "a page makes the same calls"
    in_pages = [cost for calls in many.calls.values() for costs in calls for cost in costs]
    assert len(many.sweep_us) >= MANY / 50, "each call of a look at all flows is small"
    for costs in (many.sweep_us, in_pages):
        print(f"{len(costs)} calls: median {median(costs):.0f} us, longest {max(costs):.0f} us")
        assert sorted(costs)[int(0.99 * len(costs))] < MOST_US, "a busy machine makes some calls longer"
        assert median(costs) < MOST_US / 3
    for with_few, with_many in ((few.first_s, many.first_s), (few.next_s, many.next_s)):
        print(f"pages: {1000 * min(with_few):.0f} ms of CPU with few flows, {1000 * min(with_many):.0f} ms with many")
        assert min(with_many) < MOST_S
    # The first page sorts all flows, in the memory of the admin process; those behind it do not.
    assert min(many.next_s) < MOST_GROWTH * min(few.next_s)
