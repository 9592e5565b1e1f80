"""With `headroom_ms` a window counts longer: in the limit, in the drain rate, and wherever an edge counts by itself."""

from typing import Any

import pytest

from app.errors import InvalidRule
from app.limiter.keys import live_counter
from app.limiter.local_limiter import LocalLimiter
from app.limiter.policy import Charge
from app.limiter.redis_limiter import RedisLimiter
from app.redis_wire.scripts import Scripts
from app.rules.active import ActiveRule, decode_active, encode_active
from app.rules.model import parse_rule
from tests.support.rules import RULE

FOUR_A_SECOND = {"limit": 4, "window_seconds": 1}
SECOND_US = 1_000_000


def active(**fields: Any) -> ActiveRule:  # noqa: ANN401
    return ActiveRule(parse_rule(RULE | FOUR_A_SECOND | fields), 1)


@pytest.mark.parametrize("algorithm", ["gcra", "sliding_window"])
def test_both_algorithms_count_longer(algorithm: str) -> None:
    with_headroom, without = active(algorithm=algorithm, headroom_ms=200), active(algorithm=algorithm)
    assert with_headroom.policies[0].emission_interval_us == pytest.approx(300_000)
    assert without.policies[0].emission_interval_us == 250_000
    assert with_headroom.policies[0].window_s == 1, "clients are told the limit as it is"
    assert decode_active(encode_active(with_headroom.rule, 1)).policies == with_headroom.policies


def test_the_drain_rate_has_the_same_headroom() -> None:
    rule = active(headroom_ms=200, on_limit="defer", drain={"limit": 2, "window_seconds": 1})
    assert rule.drain_interval_us == pytest.approx(600_000, abs=1)
    shared = active(headroom_ms=200, on_limit="defer")
    assert shared.drain_interval_us == pytest.approx(300_000, abs=1)


def test_every_limit_of_a_rule_counts_longer() -> None:
    rule = active(headroom_ms=200, limits=[{"limit": 60, "window_seconds": 60, "algorithm": "sliding_window"}])
    assert [policy.counted_window_us for policy in rule.policies] == [60_200_000, 1_200_000]


async def test_a_window_frees_its_units_later_by_the_headroom(counting: Scripts) -> None:
    rule = active(algorithm="sliding_window", headroom_ms=500)
    charge = Charge(live_counter("r", "user:u"), rule.policies[0])
    limiter = RedisLimiter(counting)
    verdicts = [await limiter.decide((charge,)) for _ in range(5)]
    assert [verdict.allowed for verdict in verdicts] == [True] * 4 + [False]
    slots = await limiter.acquire((charge,), 4, 2 * SECOND_US, 0, "", 0, 1)
    assert len(slots.waits_us) == 4
    assert slots.next_wait_us - slots.waits_us[0] == 1.5 * SECOND_US, "no 5 in a second and a half"


async def test_gcra_spaces_its_units_by_the_headroom(counting: Scripts) -> None:
    rule = active(burst=1, headroom_ms=200)
    charge = Charge(live_counter("r", "user:u"), rule.policies[0])
    slots = await RedisLimiter(counting).acquire((charge,), 5, 2 * SECOND_US, 0, "", 0, 1)
    assert [after - before for before, after in zip(slots.waits_us, slots.waits_us[1:], strict=False)] == [300_000] * 4


def test_an_edge_that_counts_by_itself_heeds_the_headroom() -> None:
    now_s = [100.0]
    limiter = LocalLimiter(lambda: now_s[0])
    charge = Charge("counter", active(burst=1, headroom_ms=200).policies[0])
    assert limiter.decide([charge], 1).allowed
    [state] = limiter.decide([charge], 1).states
    assert state.wait_us == pytest.approx(300_000, abs=1)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"headroom_ms": -1}, "headroom_ms: "),
        ({"headroom_ms": 1.5}, "headroom_ms: "),
        ({"headroom_ms": True}, "headroom_ms: "),
        ({"headroom_ms": 60_001, "window_seconds": 3600}, "headroom_ms: "),
        ({"headroom_ms": 1001}, "headroom_ms: at most window_seconds, which is 1 s"),
        (
            {"headroom_ms": 1000, "limits": [{"limit": 9, "window_seconds": 0.5}]},
            "headroom_ms: at most limits.0.window_seconds, which is 0.5 s",
        ),
        (
            {"headroom_ms": 1000, "drain": {"limit": 9, "window_seconds": 0.5}},
            "headroom_ms: at most drain.window_seconds, which is 0.5 s",
        ),
    ],
)
def test_what_is_no_headroom_is_named(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidRule) as caught:
        active(**fields)
    assert str(caught.value).startswith(problem)
