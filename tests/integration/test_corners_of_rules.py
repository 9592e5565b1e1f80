"""Rules at the corners of what is allowed: every number that leaves the edge or goes to Redis is a sane one."""

import re
import time
from collections.abc import AsyncIterator, Iterator
from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from app.clients import counter_scripts
from app.errors import InvalidRule
from app.limiter.keys import live_counter
from app.limiter.policy import Charge
from app.limiter.redis_limiter import RedisLimiter
from app.rules.active import ActiveRule
from app.rules.bounds import MAX_REFILL_S, MAX_UNITS, MAX_WINDOW_S, MIN_WINDOW_S
from app.rules.model import parse_rule
from app.settings import Settings
from tests.support.edge_in_process import Edge, Said, edge_running, in_force

SEVERAL = 4
SHORTEST_TTL_S = 1.0
"""A counter is kept for so long at least."""
KEY = {"key_type": "ip", "key_value": "127.0.0.1"}
ITEM = re.compile(r'"[a-z0-9_-]+"((?:;[a-z]+=\d+)+)')


@pytest.fixture
async def edge(settings: Settings, cache: Redis) -> AsyncIterator[Edge]:
    async with edge_running(settings, cache, counters_timeout_ms=5000.0, poll_limit_per_s=100_000.0) as running:
        yield running


def largest_burst(limit: int, window_s: float) -> int:
    return max(1, min(MAX_UNITS, int(MAX_REFILL_S * limit / window_s)))


def corners() -> Iterator[dict[str, Any]]:
    """Every valid combination of extreme numbers."""
    for limit, window_s in product((1, 999, MAX_UNITS), (MIN_WINDOW_S, 1.5, MAX_WINDOW_S)):
        for algorithm, burst in product(("gcra", "sliding_window"), (None, 1, largest_burst(limit, window_s))):
            for cost in sorted({1, burst or limit}):
                quota = {"limit": limit, "window_seconds": window_s, "burst": burst}
                fields = KEY | quota | {"cost": cost, "algorithm": algorithm}
                if is_valid(fields):
                    yield fields


def is_valid(fields: dict[str, Any]) -> bool:
    try:
        parse_rule({"rule_id": "r"} | fields)
    except InvalidRule:
        return False
    return True


def parameters(value: str) -> dict[str, int]:
    found = ITEM.fullmatch(value)
    assert found, value
    return {name: int(number) for name, number in (part.split("=") for part in found[1].strip(";").split(";"))}


def require_sane(answer: Said, rule: ActiveRule) -> None:
    policy, state = parameters(answer.headers["ratelimit-policy"]), parameters(answer.headers["ratelimit"])
    assert policy["q"] == rule.rule.limit
    assert policy.get("w", rule.rule.window_seconds) == rule.rule.window_seconds
    assert 0 <= state["r"] <= rule.policies[0].burst
    assert 0 <= state.get("t", 0) <= MAX_REFILL_S + 1
    assert answer.status in {200, 202, 429}
    if answer.status == 429:
        assert 1 <= int(answer.headers["retry-after"]) <= MAX_REFILL_S + 1
    if answer.status == 202:
        job = answer.json()
        assert 1 <= int(answer.headers["retry-after"]) <= 30
        assert job["eta_seconds"] is None or 0 <= job["eta_seconds"] <= MAX_REFILL_S + 1


@pytest.mark.parametrize("on_limit", ["reject", "defer"])
async def test_the_edge_says_sane_numbers(edge: Edge, on_limit: str) -> None:
    for number, fields in enumerate(corners()):
        queue = {"max_wait_seconds": [MIN_WINDOW_S, MAX_WINDOW_S][number % 2]}
        await edge.rule(f"r{number}", **fields, on_limit=on_limit, queue=queue)
        await in_force(edge, f"r{number}")
        rule = ActiveRule(parse_rule({"rule_id": f"r{number}", "queue": queue} | fields), 1)
        started = time.monotonic()
        answers = [await edge.get("/") for _ in range(SEVERAL)]
        elapsed_us = (time.monotonic() - started) * 1e6
        for answer in answers:
            require_sane(answer, rule)
        assert answers[0].status == 200, fields
        limits = (await edge.get("/_penstock/limits")).json()["limits"]
        assert 0 <= limits[0]["remaining"] <= rule.policies[0].burst
        assert 0 <= limits[0]["wait_seconds"] <= MAX_REFILL_S
        spent = rule.cost * sum(answer.status == 200 for answer in answers)
        assert spent <= rule.policies[0].burst + elapsed_us / rule.policies[0].emission_interval_us, fields
        key = live_counter(rule.rule_id, "ip:127.0.0.1")
        assert await edge.cache.pttl(key) <= MAX_REFILL_S * 1000 + 1


@pytest.mark.parametrize("fields", [{"drain": {"limit": 1, "window_seconds": MAX_WINDOW_S, "burst": 10}}, {}])
async def test_deep_flows_at_the_slowest_rate(edge: Edge, fields: dict[str, Any]) -> None:
    slowest = {"limit": 1, "window_seconds": MAX_WINDOW_S, "burst": 10, "cost": 10}
    queue = {"max_wait_seconds": MAX_WINDOW_S, "max_depth": 10_000_000}
    for paused in (False, True):
        await edge.rule("slow", **KEY, **slowest, on_limit="defer", queue=queue, paused=paused, **fields)
        await in_force(edge, "slow")
        rule = ActiveRule(parse_rule({"rule_id": "slow", **KEY, **slowest}), 1)
        for _ in range(SEVERAL):
            require_sane(await edge.get("/"), rule)


@given(
    limit=st.integers(1, MAX_UNITS),
    window_s=st.floats(MIN_WINDOW_S, MAX_WINDOW_S),
    burst=st.none() | st.integers(1, MAX_UNITS),
    cost=st.integers(1, MAX_UNITS) | st.integers(1, 5),
    algorithm=st.sampled_from(["gcra", "sliding_window"]),
    others=st.integers(0, 2),
)
@example(limit=1, window_s=MAX_WINDOW_S, burst=10, cost=10, algorithm="gcra", others=0)
@example(limit=10_000, window_s=MIN_WINDOW_S, burst=None, cost=10_000, algorithm="sliding_window", others=0)
@hypothesis_settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
async def test_counters_hold_sane_numbers(
    settings: Settings,
    cache: Redis,
    limit: int,
    window_s: float,
    burst: int | None,
    cost: int,
    algorithm: str,
    others: int,
) -> None:
    fields = {"limit": limit, "window_seconds": window_s, "burst": burst, "cost": cost, "algorithm": algorithm}
    if not is_valid(KEY | fields):
        return
    await cache.flushall()
    rule = ActiveRule(parse_rule({"rule_id": "r"} | KEY | fields), 1)
    scripts = counter_scripts(settings, 5000)
    limiter = RedisLimiter(scripts)
    charge = Charge(live_counter("r", "ip:1"), rule.policies[0], rule.cost)
    started = time.monotonic()
    try:
        verdicts = [await limiter.decide((charge,)) for _ in range(SEVERAL)]
        slots = await limiter.acquire((charge,), 1 + others, 50_000, 0, "", 0, 1)
    finally:
        await scripts.aclose()
    assert verdicts[0].allowed
    for verdict in verdicts:
        [state] = verdict.states
        assert 0 <= state.remaining <= rule.policies[0].burst - rule.cost * verdict.allowed
        assert 0 <= state.wait_us <= state.reset_us <= MAX_REFILL_S * 1e6 + 1
    assert all(0 <= wait <= 50_000 for wait in slots.waits_us)
    assert slots.next_wait_us <= MAX_REFILL_S * 1e6 + 50_001
    ttl_ms = await cache.pttl(charge.counter)
    has_expired = ttl_ms == -2 and time.monotonic() - started >= SHORTEST_TTL_S
    assert has_expired or 0 < ttl_ms <= MAX_REFILL_S * 1000 + 1
