"""Replaying requests against a rule."""

import tracemalloc
from collections import Counter
from typing import Any

import pytest

from app.decision import quotas_of
from app.limiter.local_limiter import LocalLimiter
from app.rules.active import ActiveRule
from app.rules.match import Match
from app.rules.model import parse_rule
from app.traffic.replay import Outcome, replay
from app.traffic.samples import Arrival

START_S = 1_700_000_000.0


def rule(**fields: Any) -> ActiveRule:  # noqa: ANN401
    base = {"rule_id": "r", "key_type": "user", "key_value": "*", "limit": 2, "window_seconds": 1}
    return ActiveRule(parse_rule(base | fields), 1)


def arrivals(*after_s: float, cost: int = 1, method: str = "GET", path: str = "/") -> list[Arrival]:
    return [Arrival(START_S + after, cost, method, (path,)) for after in after_s]


def outcomes(of: ActiveRule, requests: list[Arrival]) -> str:
    """One letter for each request: f, r, d, b or u."""
    return "".join(outcome.value[0] for outcome in replay(of, requests))


@pytest.mark.parametrize(
    ("fields", "requests", "expected"),
    [
        pytest.param({}, arrivals(0, 0, 0, 0.5, 0.5, 9), "ffrfrf", id="gcra"),
        pytest.param({"algorithm": "sliding_window"}, arrivals(0, 0.4, 0.9, 1.0, 1.3, 1.4), "ffrfrf", id="window"),
        pytest.param({"limits": [{"limit": 3, "window_seconds": 60}]}, arrivals(0, 0, 5, 9, 9), "fffrr", id="two"),
        pytest.param({"cost": 2}, arrivals(0, 0, 1), "frf", id="cost"),
        pytest.param({"cost": {"header": "x"}}, arrivals(0, cost=2) + arrivals(0, 1), "frf", id="stated cost"),
        pytest.param({"burst": 1}, arrivals(0, 0, 0.5), "frf", id="burst"),
        pytest.param({"action": "block"}, arrivals(0, 1), "bb", id="block"),
        pytest.param({"action": "allow"}, arrivals(0, 0, 0), "fff", id="allow"),
        pytest.param({"action": "defer"}, arrivals(0, 5), "dd", id="always"),
        pytest.param({"shadow": True}, arrivals(0, 0, 0), "uuu", id="shadow"),
        pytest.param({"match": {"methods": ["PUT"]}}, arrivals(0), "u", id="method"),
        pytest.param(
            {"match": {"path_prefix": "/a"}}, arrivals(0, path="/a/b") + arrivals(0, path="/ab"), "fu", id="path"
        ),
        pytest.param({"on_limit": "defer"}, arrivals(0, 0, 0, 0.5, 0.5, 3), "ffdddf", id="jobs go first"),
        pytest.param(
            {"on_limit": "defer", "drain": {"limit": 1, "window_seconds": 1}},
            arrivals(0, 0, 0, 0.5, 0.5),
            "ffdfd",
            id="own drain rate",
        ),
        pytest.param(
            {"on_limit": "defer", "queue": {"max_wait_seconds": 1}}, arrivals(0, 0, 0, 0, 0), "ffddr", id="too late"
        ),
    ],
)
def test_each_request_gets_its_outcome(fields: dict[str, Any], requests: list[Arrival], expected: str) -> None:
    assert outcomes(rule(**fields), requests) == expected


def test_it_agrees_with_the_limiter() -> None:
    """The same requests through the limiter that edges have in memory."""
    of = rule(limit=10, burst=4)
    now = START_S
    limiter = LocalLimiter(lambda: now)
    charges = quotas_of([Match(of, "user:ann")]).charges
    requests = arrivals(*[number * 0.037 % 3 for number in range(80)])
    requests.sort()
    expected = []
    for one in requests:
        now = one.at_s
        expected.append(Outcome.FORWARDED if limiter.decide(charges, 1).allowed else Outcome.REJECTED)
    found = replay(of, requests)
    assert found == expected
    assert set(Counter(found)) == {Outcome.FORWARDED, Outcome.REJECTED}


def test_units_of_a_window_take_no_room_each() -> None:
    costly = rule(algorithm="sliding_window", limit=10_000, window_seconds=0.01, cost=10_000, on_limit="defer")
    requests = arrivals(*[0.0] * 2_000)
    tracemalloc.start()
    try:
        assert outcomes(costly, requests) == "f" + "d" * 1_999
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
