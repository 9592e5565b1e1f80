"""How a worker shares its permits among flows, and how it limits the flows that it drains at once."""

import math

from consumers.concurrency_limit import INITIAL_LIMIT, MAX_LIMIT, MIN_LIMIT, ConcurrencyLimit
from consumers.in_flight import InFlight


def test_one_flow_never_takes_all_permits() -> None:
    permits = InFlight(100)
    assert permits.reserve("a", 1000) == 80
    assert permits.reserve("a", 1000) == 0
    assert permits.reserve("b", 1000) == 16
    assert permits.reserve("c", 1000) == 3
    assert permits.reserve("d", 1000) == 1, "a flow without permits gets one as long as one is free"
    assert permits.free == 0
    assert permits.reserve("e", 1) == 0


def test_shares_even_out_as_permits_are_released() -> None:
    permits, held = InFlight(90), {"a": 0, "b": 0}
    for turn in range(2000):
        for flow in held:
            held[flow] += permits.reserve(flow, 1000)
        flow = "a" if turn % 2 else "b"
        if held[flow]:
            permits.release(flow)
            held[flow] -= 1
    assert all(36 <= count <= 44 for count in held.values()), "four ninths each"
    assert permits.free == 90 - sum(held.values())


def test_released_permits_are_free_again() -> None:
    permits = InFlight(10)
    taken = permits.reserve("a", 10)
    assert permits.holds("a")
    permits.release("a", taken)
    assert (permits.free, permits.holds("a")) == (10, False)


def test_the_limit_grows_while_requests_are_in_time_and_shrinks_when_they_are_late() -> None:
    limiter = ConcurrencyLimit(late_after_s=0.01)
    assert limiter.limit == INITIAL_LIMIT
    for _ in range(100_000):
        limiter.observe(0.001, 0.0)
    assert limiter.limit == MAX_LIMIT
    limiter.observe(math.inf, 1.0)
    once = limiter.limit
    assert once < MAX_LIMIT
    limiter.observe(math.inf, 1.05)
    assert limiter.limit == once, "requests that are late together count once"
    for tenth in range(1, 100):
        limiter.observe(0.02, 2.0 + tenth)
    assert limiter.limit == MIN_LIMIT
