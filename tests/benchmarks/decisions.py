"""The CPU time that a decision takes in the cache Redis, by what the rules that apply to it say."""

import asyncio
from pathlib import Path
from statistics import median
from typing import Any

from redis.asyncio import Redis

from app.clients import cache_redis, counter_scripts
from app.decision import Quotas, quotas_of
from app.limiter.places import Places
from app.limiter.redis_limiter import RedisLimiter
from app.redis_wire.scripts import Scripts
from app.rules.active import ActiveRule
from app.rules.match import Match
from app.rules.model import parse_rule
from app.settings import Settings
from tests.benchmarks import stores
from tests.benchmarks.errors import require
from tests.benchmarks.plan import Plan
from tests.benchmarks.processes import Cores, pin
from tests.benchmarks.progress import log_progress
from tests.benchmarks.table import show_table

CALLERS = 100
DAY_S = 86_400
MANY = 50_000_000
LIMIT = {"limit": MANY, "window_seconds": 1000}
WINDOWS_S = (60, 3600, DAY_S)
RULES: dict[str, list[dict[str, Any]]] = {
    "one rule, one limit": [LIMIT],
    "two rules of one limit": [LIMIT, LIMIT],
    "one rule, two limits": [LIMIT | {"limits": [{"limit": MANY, "window_seconds": DAY_S}]}],
    "one rule, four limits": [LIMIT | {"limits": [{"limit": MANY, "window_seconds": window} for window in WINDOWS_S]}],
    "one rule, concurrency alone": [{"concurrency": 1000}],
    "one rule, one limit and concurrency": [LIMIT | {"concurrency": 1000}],
    "one rule, a sliding window": [{"limit": 10_000, "window_seconds": 1, "algorithm": "sliding_window"}],
}
"""What is measured. The first row is what the others are compared with, in the same round."""


class DecisionMeter:
    """Measures on one cache Redis."""

    def __init__(self, redis: Redis, scripts: Scripts, decisions: int) -> None:
        self._redis = redis
        self._limiter = RedisLimiter(scripts)
        self._places = Places(scripts)
        self._decisions = decisions

    async def measure(self, rules: list[dict[str, Any]]) -> float:
        """Microseconds of CPU a decision that allows, with what gives its place back."""
        await self._redis.flushdb()
        callers = [_quotas(rules, f"user:{number}") for number in range(CALLERS)]
        before = await self._cpu_s()
        for _ in range(self._decisions // CALLERS):  # sent together, as an edge does that has much to do
            await asyncio.gather(*map(self._decide, callers))
        await self._places.finish()
        return (await self._cpu_s() - before) / self._decisions * 1e6

    async def _decide(self, quotas: Quotas) -> None:
        counters = [charge.counter for charge in quotas.charges if charge.holds_place]
        name = self._places.new_name() if counters else ""
        verdict = await self._limiter.decide(quotas.charges, name)
        require(verdict.allowed, "a decision refused")
        if counters:
            self._places.hold(counters, f"{name}1")
            self._places.give_back(counters, f"{name}1")

    async def _cpu_s(self) -> float:
        cpu = await self._redis.info("cpu")
        return float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"])


def _quotas(rules: list[dict[str, Any]], descriptor: str) -> Quotas:
    active = [
        ActiveRule(parse_rule({"rule_id": f"r{number}", "key_type": "user", "key_value": "*"} | fields), 1)
        for number, fields in enumerate(rules)
    ]
    return quotas_of([Match(rule, descriptor) for rule in active])


async def bench(place: Path, cores: Cores, plan: Plan) -> None:
    """Measure each row in turn, in rounds, and print the table."""
    async with stores.cache_only(place) as (url, pid):
        pin(pid, cores.server)
        settings = Settings(cache_redis_url=url)
        redis, scripts = cache_redis(settings), counter_scripts(settings, 60_000)
        await scripts.load()
        meter = DecisionMeter(redis, scripts, plan.life_jobs)
        found: dict[str, list[float]] = {name: [] for name in RULES}
        for number in range(plan.rounds):
            for name, costs_us in found.items():
                costs_us.append(await meter.measure(RULES[name]))
            log_progress(f"round {number + 1}: {next(iter(found.values()))[-1]:.1f} us for one limit")
        await redis.aclose()
        await scripts.aclose()
    show(found, plan)


def show(found: dict[str, list[float]], plan: Plan) -> None:
    """Print medians over the rounds; the ratios are medians of those of each round."""
    first = next(iter(found.values()))
    rows = []
    for name, costs_us in found.items():
        ratios = [cost_us / of_first_us for cost_us, of_first_us in zip(costs_us, first, strict=True)]
        rows.append([name, f"{median(costs_us):.1f} us", f"{median(ratios):.2f}"])
    title = f"A decision: CPU of the cache Redis, {plan.life_jobs:,} decisions, median of {plan.rounds} rounds"
    show_table(title, ("what applies", "a decision", "to one limit"), rows)
