"""`Retry-After` and `RateLimit` are true: who waits for exactly so long is served, whatever the rules."""

import asyncio
import math
from collections.abc import Iterator
from typing import Any

import http_sf
import pytest
import redis
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import app.redis_wire.scripts
from app.clients import counter_scripts
from app.decision import Forward, RuleResult, decide, evaluate, quotas_of
from app.edge.poll_limit import PollLimit
from app.edge.rate_limit_headers import rate_limit
from app.edge.rejection import rejection
from app.errors import TooManyRequests
from app.identity.caller import Caller
from app.limiter.local_limiter import LocalLimiter
from app.limiter.redis_limiter import RedisLimiter
from app.rules.active import ActiveRule
from app.rules.match import Match
from app.rules.model import parse_rule
from app.settings import Settings
from tests.support.examples import scaled
from tests.support.script_clock import START_US, with_clock

US = 1_000_000


@st.composite
def quotas(draw: st.DrawFn) -> dict[str, Any]:
    sliding = draw(st.booleans())
    limit = draw(st.integers(1, 12))
    burst = limit if sliding else draw(st.integers(1, 12))
    window = draw(st.one_of(st.integers(1, 5000), st.floats(0.05, 100.0).map(lambda s: round(s, 3))))
    fields = {"limit": limit, "window_seconds": window, "cost": draw(st.integers(1, burst))}
    return fields | ({"algorithm": "sliding_window"} if sliding else {"burst": burst})


class Draws:
    """What `st.data()` gives, in an explicit example."""

    def __init__(self, value: int) -> None:
        self._value = value

    def draw(self, _: object) -> int:
        return self._value


def match(number: int, fields: dict[str, Any]) -> Match:
    rule = parse_rule({"rule_id": f"rule-{number}", "key_type": "user", "key_value": "*"} | fields)
    return Match(ActiveRule(rule, 1), "user:u")


class Clocked:
    """The limiter as it is, on a Redis whose time the test sets."""

    def __init__(self, client: redis.Redis, url: str) -> None:
        self._client = client
        self._runner = asyncio.Runner()
        self._scripts = counter_scripts(Settings(cache_redis_url=url), 5000)
        self._limiter = RedisLimiter(self._scripts)
        self.now_us = START_US

    def evaluate(self, matches: list[Match]) -> tuple[RuleResult, ...]:
        self._client.hset("test:clock", mapping={"s": self.now_us // US, "us": self.now_us % US})
        quotas = quotas_of(matches)
        return evaluate(quotas, self._runner.run(self._limiter.decide(quotas.charges)))

    def forget(self) -> None:
        self._client.flushall()
        self.now_us = START_US

    def close(self) -> None:
        self._runner.run(self._scripts.aclose())
        self._runner.close()


@pytest.fixture
def clocked(cache_redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clocked]:
    scripts = ("acquire", "acquire_turns", "decide")
    texts = {name: with_clock(app.redis_wire.scripts.source("app.limiter", name)) for name in scripts}
    monkeypatch.setattr(app.redis_wire.scripts, "source", lambda package, name: texts[name])
    with redis.Redis.from_url(cache_redis_url) as client:
        clocked = Clocked(client, cache_redis_url)
        yield clocked
        clocked.close()


def refusal(results: tuple[RuleResult, ...]) -> tuple[int, dict[str, dict[str, int]]]:
    """`Retry-After`, and `RateLimit` by policy, from what the client gets."""
    headers = dict(rejection([one for one in results if one.refuses], results).headers)
    return int(headers[b"retry-after"]), parsed(headers[b"ratelimit"])


def parsed(header: bytes) -> dict[str, dict[str, int]]:
    members = http_sf.parse(header, tltype="list")
    assert isinstance(members, list)
    found: dict[str, dict[str, int]] = {}
    for member in members:
        assert isinstance(member, tuple)
        name, parameters = member
        assert isinstance(name, str)
        assert not isinstance(name, http_sf.Token), "a string, not a token"
        assert isinstance(parameters, dict)
        found[name] = {key: value for key, value in parameters.items() if type(value) is int and value >= 0}
        assert len(found[name]) == len(parameters), "whole numbers all"
    assert len(found) == len(members)
    return found


@given(
    fields=st.lists(quotas(), min_size=1, max_size=3),
    pauses_us=st.lists(st.one_of(st.just(0), st.integers(0, 3 * US)), min_size=1, max_size=30),
)
@example(fields=[{"limit": 1, "window_seconds": 8.062, "burst": 2}], pauses_us=[0, 0])
@example(fields=[{"limit": 3, "window_seconds": 1, "burst": 1}], pauses_us=[0] * 3)
@example(fields=[{"limit": 7, "window_seconds": 5000, "burst": 5, "cost": 5}], pauses_us=[333_333] * 9)
@settings(max_examples=scaled(150), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_who_waits_as_long_as_it_is_told_is_served(
    clocked: Clocked, fields: list[dict[str, Any]], pauses_us: list[int]
) -> None:
    clocked.forget()
    matches = [match(number, one) for number, one in enumerate(fields)]
    for pause_us in pauses_us:
        clocked.now_us += pause_us
        results = clocked.evaluate(matches)
        if not isinstance(decide(results), Forward):
            retry_after_s, limits = refusal(results)
            times = [one["t"] for one in limits.values() if "t" in one]
            assert max(times) <= retry_after_s
            assert retry_after_s == max(1, math.ceil(max(one.state.wait_us for one in results) / US)), (
                "nor is it too long"
            )
            clocked.now_us += retry_after_s * US
            assert isinstance(decide(clocked.evaluate(matches)), Forward)


@given(
    limit=st.integers(1, 1000),
    window_s=st.one_of(st.integers(1, 100_000), st.floats(0.05, 100.0)),
    burst=st.integers(1, 50),
    edges=st.integers(1, 7),
    start_s=st.floats(0, 1e9),
    data=st.data(),
)
@example(limit=1, window_s=1.0000004, burst=1, edges=1, start_s=0.0, data=Draws(1))
def test_it_is_true_without_the_counters_too(
    limit: int, window_s: float, burst: int, edges: int, start_s: float, data: st.DataObject | Draws
) -> None:
    now_s = [start_s]
    limiter = LocalLimiter(lambda: now_s[0])
    cost = data.draw(st.integers(1, burst))
    one = match(0, {"limit": limit, "window_seconds": window_s, "burst": burst, "cost": cost})
    for _ in range(60):
        quotas = quotas_of([one])
        results = evaluate(quotas, limiter.decide(quotas.charges, edges))
        if not isinstance(decide(results), Forward):
            now_s[0] += refusal(results)[0]
            assert isinstance(decide(evaluate(quotas, limiter.decide(quotas.charges, edges))), Forward)


@given(st.lists(quotas(), min_size=1, max_size=5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_headers_say_the_policies(clocked: Clocked, fields: list[dict[str, Any]]) -> None:
    clocked.forget()
    matches = [match(number, one) for number, one in enumerate(fields)]
    results = clocked.evaluate(matches)
    headers = dict(rate_limit(results))
    policies, limits = parsed(headers[b"ratelimit-policy"]), parsed(headers[b"ratelimit"])
    assert list(policies) == list(limits) == [f"rule-{number}" for number in range(len(fields))]
    for one, policy, state in zip(fields, policies.values(), limits.values(), strict=True):
        whole = one["window_seconds"] == int(one["window_seconds"])
        assert policy == {"q": one["limit"]} | ({"w": int(one["window_seconds"])} if whole else {})
        most = one.get("burst", one["limit"])
        assert state["r"] == most - one["cost"], "what is left of a whole burst after one request"
        assert state.keys() == {"r", "t"}


@given(st.floats(0.001, 1000), st.floats(0, 1e9), st.lists(st.floats(0, 3), min_size=1, max_size=30))
@example(0.001, 1527.2406337520001, [0.0])
def test_it_is_true_of_polls_too(per_s: float, start_s: float, pauses_s: list[float]) -> None:
    now_s = [start_s]
    limit, caller = PollLimit(per_s, lambda: now_s[0]), Caller("u", "iss", {}, "192.0.2.1")
    limit.spend(caller)  # the first is never one too many
    for pause_s in pauses_s:
        now_s[0] += pause_s
        try:
            limit.spend(caller)
        except TooManyRequests as refused:
            now_s[0] += refused.retry_after_s
            limit.spend(caller)
