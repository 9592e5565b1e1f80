"""Guarantee 3 as an assertion on what arrived."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

SEND_DELAY_S = 0.15
"""How much later than its slot a request may arrive here: the slot grace, the network, two busy cores."""

SLOT_PRECISION_S = 2e-6


def assert_within_rate(
    arrivals: Iterable[tuple[float, float]], rate_per_s: float, burst: float, send_delay_s: float = SEND_DELAY_S
) -> None:
    """Every stretch of T seconds holds at most burst + rate * (T + J) + 1 arrivals.

    Of each: when the app server last had nothing left to read, and when it noted the arrival. It came in between, which
    is the same moment but where the app server did not run. The bound is exceeded if it is for all such times; GCRA,
    with each at its earliest permitted time, finds some that are within it if there are any.
    """
    interval_s, allowance = 1 / rate_per_s, burst + rate_per_s * send_delay_s + 1
    next_s = float("-inf")  # GCRA's theoretical arrival time
    for number, (idle_s, noted_s) in enumerate(sorted(arrivals, key=lambda arrival: arrival[1])):
        came_s = max(min(idle_s, noted_s), next_s - (allowance - 1) * interval_s)
        early_ms = (came_s - noted_s) * 1000
        assert early_ms <= 1e-3, f"arrival {number} is {early_ms:.1f} ms too early: {allowance:.1f} over a stretch"
        next_s = max(next_s, came_s) + interval_s


def assert_slots_within_rate(slots_s: Sequence[float], rate_per_s: float, burst: float) -> None:
    """Every stretch of T seconds holds at most burst + rate * T slots: slots are granted to the microsecond."""
    _assert_bounded(slots_s, rate_per_s, burst + rate_per_s * SLOT_PRECISION_S)


def _assert_bounded(times_s: Sequence[float], rate_per_s: float, allowance: float) -> None:
    in_time = sorted(times_s)
    # With f(i) = i - rate * t(i), a stretch from i to j is too full where f(j) - f(i) + 1 exceeds the allowance.
    lowest = float("inf")
    for i, at in enumerate(in_time):
        f = i - rate_per_s * at
        lowest = min(lowest, f)
        assert f - lowest + 1 <= allowance + 1e-6, (
            f"arrival {i}: {f - lowest + 1:.1f} over a stretch, {allowance:.1f} allowed"
        )


def assert_in_order(arrivals: Iterable[tuple[int, float, float]], together_s: float = 0.05) -> None:
    """Numbers, when they arrived, and when the app server last had nothing left to read: none after a higher one.

    Two may change places if they came all but at once, or if the app server read them without a pause in between.
    """
    highest, at_s = -1, 0.0
    for number, arrived_s, idle_s in sorted(arrivals, key=lambda arrival: arrival[1]):
        assert number > highest or arrived_s - at_s < together_s or idle_s < at_s, f"{number} came after {highest}"
        if number > highest:
            highest, at_s = number, arrived_s


def as_read(numbers: Iterable[int], arrivals: Iterable[Mapping[str, Any]]) -> list[tuple[int, float, float]]:
    """What `assert_in_order` needs to know, of arrivals as an app server tells them."""
    return [(number, arrival["at"], arrival["idle_at"]) for number, arrival in zip(numbers, arrivals, strict=True)]


def times_of(arrivals: Iterable[Mapping[str, Any]]) -> list[tuple[float, float]]:
    """What `assert_within_rate` needs to know, of arrivals as an app server tells them."""
    return [(arrival["idle_at"], arrival["at"]) for arrival in arrivals]


def assert_arrived_in_order(targets: Sequence[str], arrivals: Sequence[Mapping[str, Any]]) -> None:
    """Exactly these requests arrived, each once, in the order of `targets`, but for what was read without a pause."""
    places = {target: place for place, target in enumerate(targets)}
    assert sorted(places) == sorted(arrival["target"] for arrival in arrivals)
    assert_in_order(as_read((places[arrival["target"]] for arrival in arrivals), arrivals), together_s=0.0)
