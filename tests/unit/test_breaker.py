"""Circuit breakers: what opens them, how they probe, and how they close."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import UpstreamCircuitOpen, UpstreamCut, UpstreamRefused, UpstreamReset, UpstreamTimeout
from app.upstream.breaker import LONGEST_BACKOFF_S, RAMP_S, BreakerState, CircuitBreaker, Permit
from app.upstream.server_breaker import (
    LONGEST_BACKOFF_AFTER_RESETS_S,
    RESETS_LAST_S,
    RESETS_TO_OPEN,
    ConnectionResult,
    ServerBreaker,
    connection_result,
)

ROUNDING_S = 1e-6


def circuit_breaker() -> CircuitBreaker:
    return CircuitBreaker(jitter=lambda: 0.0)


def open_breaker() -> CircuitBreaker:
    breaker = circuit_breaker()
    breaker.trip(0.0)
    return breaker


def send(breaker: ServerBreaker, result: ConnectionResult, now: float) -> None:
    permit = breaker.begin(now)
    assert permit is not None
    breaker.end(permit, result, now)


def server_breaker(*results: ConnectionResult) -> ServerBreaker:
    """A breaker that has seen these results at time 0."""
    breaker = ServerBreaker(jitter=lambda: 0.0)
    for result in results:
        send(breaker, result, 0.0)
    return breaker


def test_an_open_breaker_permits_one_probe_per_backoff_which_doubles_up_to_ten_seconds() -> None:
    breaker, now, waits = open_breaker(), 0.0, []
    for _ in range(8):
        wait_s = breaker.wait_s(now)
        waits.append(wait_s)
        assert breaker.begin(now + wait_s - 0.001) is None
        now += wait_s
        assert breaker.begin(now) is Permit.PROBE
        assert breaker.begin(now) is None, "only one probe is permitted at a time"
    assert waits == pytest.approx([0.5, 1, 2, 4, 8, 10, 10, 10])
    assert max(waits) <= LONGEST_BACKOFF_S


@given(st.floats(0, 1), st.lists(st.floats(0, 30), max_size=50))
def test_jitter_never_makes_a_backoff_longer_than_ten_seconds(jitter: float, pauses_s: list[float]) -> None:
    breaker, now = CircuitBreaker(jitter=lambda: jitter), 0.0
    breaker.trip(now)
    for pause_s in pauses_s:
        now += pause_s
        breaker.trip(now)
        breaker.begin(now)
        assert 0 <= breaker.wait_s(now) <= LONGEST_BACKOFF_S + ROUNDING_S
        assert breaker.begin(now + breaker.wait_s(now) + ROUNDING_S) is Permit.PROBE
        now += breaker.wait_s(now) + ROUNDING_S


def test_a_probe_that_takes_long_does_not_delay_the_next() -> None:
    breaker = open_breaker()
    assert breaker.begin(0.5) is Permit.PROBE
    assert breaker.begin(1.5) is Permit.PROBE
    breaker.probe_succeeded(1.6)
    assert breaker.state is BreakerState.HALF_OPEN


def test_a_probe_that_was_not_sent_is_followed_by_another_at_once() -> None:
    breaker = open_breaker()
    assert breaker.begin(0.5) is Permit.PROBE
    breaker.probe_not_sent(0.5)
    assert breaker.begin(0.5) is Permit.PROBE


def test_a_breaker_closes_by_a_ramp_and_is_back_at_any_rate_within_30_s() -> None:
    breaker = open_breaker()
    breaker.probe_succeeded(1.0)
    now, sent = 1.0, [0] * 16
    while now < 16.0:
        if breaker.capacity(now) >= 1:
            assert breaker.begin(now) is Permit.REGULAR
            sent[int(now - 1)] += 1
        else:
            assert breaker.state is BreakerState.HALF_OPEN
            assert breaker.begin(now) is None
            wait_s = breaker.wait_s(now)
            assert wait_s > 0
            now += wait_s + ROUNDING_S
    assert sent[0] <= 4
    assert all(after >= before for before, after in pairwise(sent[:15]))
    assert sent[10] > 1000
    assert breaker.capacity(1.0 + RAMP_S) == math.inf
    assert breaker.begin(1.0 + RAMP_S) is Permit.REGULAR
    assert breaker.state is BreakerState.CLOSED
    assert RAMP_S < 30


def test_a_breaker_that_opens_during_the_ramp_begins_with_the_first_backoff() -> None:
    breaker = open_breaker()
    for now in (0.5, 1.5, 3.5):
        assert breaker.begin(now) is Permit.PROBE
    breaker.probe_succeeded(3.6)
    breaker.trip(4.0)
    assert breaker.state is BreakerState.OPEN
    assert breaker.wait_s(4.0) == 0.5


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (UpstreamRefused("refused"), ConnectionResult.REFUSED),
        (UpstreamCircuitOpen("open"), ConnectionResult.REFUSED),
        (UpstreamReset("reset"), ConnectionResult.RESET),
        (UpstreamCut("cut"), ConnectionResult.UNCLEAR),
        (UpstreamTimeout("late"), ConnectionResult.UNCLEAR),
        (ValueError("from the body of the request"), ConnectionResult.UNCLEAR),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.value,
)
def test_what_an_error_says_about_the_app_server(error: Exception, result: ConnectionResult) -> None:
    assert connection_result(error) is result


def test_one_refused_connection_opens_the_breaker_of_its_app_server() -> None:
    breaker = server_breaker(ConnectionResult.ANSWERED, ConnectionResult.REFUSED)
    assert breaker.is_open
    assert breaker.wait_s(0.0) == 0.5


def test_unclear_results_open_nothing() -> None:
    breaker = server_breaker(*[ConnectionResult.UNCLEAR] * 100)
    assert breaker.is_closed
    assert breaker.capacity(0) == math.inf


def test_resets_open_the_breaker_when_nothing_is_answered_for_a_while() -> None:
    breaker = server_breaker(*[ConnectionResult.RESET] * 100)
    assert breaker.is_closed, "they may all come from one caller"
    send(breaker, ConnectionResult.RESET, RESETS_LAST_S)
    assert breaker.is_open


def test_resets_of_one_caller_open_nothing_while_others_are_answered() -> None:
    breaker, now = server_breaker(), 0.0
    while now < 60:
        for _ in range(20):
            send(breaker, ConnectionResult.RESET, now)
        now += RESETS_LAST_S / 2
        send(breaker, ConnectionResult.ANSWERED, now)
        assert breaker.is_closed


def test_few_resets_open_nothing_however_far_apart() -> None:
    breaker = server_breaker(ConnectionResult.RESET)
    for number in range(1, RESETS_TO_OPEN - 1):
        send(breaker, ConnectionResult.RESET, 1000.0 * number)
    assert breaker.is_closed


def test_a_breaker_that_resets_opened_probes_each_second_until_a_connection_is_refused() -> None:
    breaker, now = server_breaker(ConnectionResult.RESET, ConnectionResult.RESET), RESETS_LAST_S
    send(breaker, ConnectionResult.RESET, now)
    for _ in range(10):
        now += breaker.wait_s(now)
        send(breaker, ConnectionResult.RESET, now)
        assert breaker.wait_s(now) <= LONGEST_BACKOFF_AFTER_RESETS_S + ROUNDING_S
    for _ in range(10):
        now += breaker.wait_s(now)
        send(breaker, ConnectionResult.REFUSED, now)
    assert breaker.wait_s(now) == pytest.approx(LONGEST_BACKOFF_S)


def test_an_answer_to_a_request_that_began_before_the_breaker_opened_does_not_close_it() -> None:
    breaker = server_breaker()
    early = breaker.begin(0.0)
    assert early is not None
    send(breaker, ConnectionResult.REFUSED, 0.1)
    breaker.end(early, ConnectionResult.ANSWERED, 0.2)
    assert breaker.is_open
    send(breaker, ConnectionResult.ANSWERED, 0.6)
    assert not breaker.is_open


@given(
    st.lists(
        st.tuples(st.floats(0, 12), st.sampled_from(ConnectionResult), st.booleans()),
        max_size=200,
    ),
    st.floats(0, 1),
)
def test_a_breaker_always_permits_a_request_within_ten_seconds(
    steps: list[tuple[float, ConnectionResult, bool]], jitter: float
) -> None:
    breaker, now = ServerBreaker(jitter=lambda: jitter), 0.0
    under_way: list[Permit] = []
    for pause_s, result, ends in steps:
        now += pause_s
        assert breaker.wait_s(now) <= LONGEST_BACKOFF_S + ROUNDING_S
        assert breaker.capacity(now) < 1 or breaker.wait_s(now) == 0
        permit = breaker.begin(now)
        if permit is not None:
            under_way.append(permit)
        if ends and under_way:
            breaker.end(under_way.pop(0), result, now)
    assert breaker.begin(now + LONGEST_BACKOFF_S + ROUNDING_S) is not None
