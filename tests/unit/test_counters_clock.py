"""A worker's estimate of the counters' clock: late replies move no slots, and a clock that jumps is followed."""

import random
from collections import deque

import pytest

from consumers.clock import WINDOW_S, CountersClock

AHEAD_S = 1_700_000_000.0
ROUNDING_S = 5e-6


def answers(clock: CountersClock, asked_s: float, there_s: float, back_s: float, ahead_s: float = AHEAD_S) -> float:
    """Let a request take `there_s` and its reply `back_s`; return by how much the estimate is too late."""
    given_s = asked_s + there_s
    return clock.to_monotonic_s(asked_s, round((given_s + ahead_s) * 1e6), given_s + back_s) - given_s


def test_a_late_reply_moves_no_slot() -> None:
    clock = CountersClock()
    assert answers(clock, 1, 0.001, 0.001) == pytest.approx(0.001, abs=1e-4)
    assert answers(clock, 2, 0.001, 0.05) == pytest.approx(0.001, abs=1e-4), (
        "without the filter it would be 50 ms too late"
    )
    assert answers(clock, 3, 0.05, 0.001) == pytest.approx(0.001, abs=1e-4)


def test_the_estimate_is_never_early_and_at_most_as_late_as_the_fastest_reply() -> None:
    clock, chance = CountersClock(), random.Random(7)
    backs_s: deque[float] = deque(maxlen=int(WINDOW_S))
    for second in range(1000):
        backs_s.append(chance.uniform(0.001, 0.1))
        late_s = answers(clock, second, chance.uniform(0, 0.1), backs_s[-1])
        assert -ROUNDING_S <= late_s <= min(backs_s) + ROUNDING_S


def test_clocks_that_drift_apart_are_followed() -> None:
    clock = CountersClock()
    for second in range(10_000):  # a second per hour, far more than quartz clocks drift
        assert abs(answers(clock, second, 0.0, 0.001, AHEAD_S - second / 3600)) < 0.001 + 2 * WINDOW_S / 3600


@pytest.mark.parametrize("jump_s", [-3600.0, -0.5, 0.5, 3600.0])
def test_after_a_jump_of_the_clock_the_estimate_lies_between_request_and_reply(jump_s: float) -> None:
    """A replica that takes over has a different clock."""
    clock = CountersClock()
    for second in range(5):
        answers(clock, second, 0.002, 0.001)
    for second in range(5, 40):
        late_s = answers(clock, second, 0.002, 0.001, AHEAD_S + jump_s)
        assert -0.002 - ROUNDING_S <= late_s <= 0.001 + ROUNDING_S
    assert late_s == pytest.approx(0.001, abs=1e-4), "soon the new clock is known as well as the old one"
