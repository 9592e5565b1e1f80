"""How a worker shares itself out: permits among flows, and flows as it can send for in time."""

import math

from consumers.concurrency_limit import FIRST, LEAST, MOST, ConcurrencyLimit
from consumers.in_flight import InFlight


def test_one_flow_never_takes_all() -> None:
    permits = InFlight(100)
    assert permits.reserve("a", 1000) == 80
    assert permits.reserve("a", 1000) == 0
    assert permits.reserve("b", 1000) == 16
    assert permits.reserve("c", 1000) == 3
    assert permits.reserve("d", 1000) == 1, "a flow without any gets one, as long as there is one"
    assert permits.free == 0
    assert permits.reserve("e", 1) == 0


def test_shares_even_out_as_permits_come_back() -> None:
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


def test_what_is_given_back_is_there_again() -> None:
    permits = InFlight(10)
    taken = permits.reserve("a", 10)
    assert permits.holds("a")
    permits.release("a", taken)
    assert (permits.free, permits.holds("a")) == (10, False)


def test_a_window_grows_while_all_is_in_time_and_shrinks_when_it_is_not() -> None:
    window = ConcurrencyLimit(late_s=0.01)
    assert window.size == FIRST
    for _ in range(100_000):
        window.observe(0.001, 0.0)
    assert window.size == MOST
    window.observe(math.inf, 1.0)
    once = window.size
    assert once < MOST
    window.observe(math.inf, 1.05)
    assert window.size == once, "once for what was late together"
    for tenth in range(1, 100):
        window.observe(0.02, 2.0 + tenth)
    assert window.size == LEAST
