"""The breaker: when it opens, how it probes, how it closes."""

import math
from itertools import pairwise

import pytest

from app.upstream.breaker import LONGEST_BACKOFF_S, RAMP_S, Breaker, Permit, RequestResult


def breaker() -> Breaker:
    return Breaker(jitter=lambda: 0.0)


def report(it: Breaker, health: RequestResult, now: float, retry_after_s: float = 0.0) -> None:
    permit = it.begin(now)
    assert permit is not None
    it.end(permit, health, now, retry_after_s)


def opened(now: float = 0.0) -> Breaker:
    it = breaker()
    report(it, RequestResult.REFUSED, now)
    return it


def test_a_refused_connection_opens_it_and_three_busy_answers_in_a_row() -> None:
    assert opened().is_open
    it = breaker()
    for health in (
        RequestResult.BUSY,
        RequestResult.BUSY,
        RequestResult.ANSWERED,
        RequestResult.BUSY,
        RequestResult.UNCLEAR,
        RequestResult.BUSY,
    ):
        report(it, health, 0)
        assert not it.is_open
    report(it, RequestResult.BUSY, 0)
    assert it.is_open


def test_what_is_unclear_opens_nothing() -> None:
    it = breaker()
    for _ in range(100):
        report(it, RequestResult.UNCLEAR, 0)
    assert it.capacity(0) == math.inf


def test_one_probe_a_backoff_which_doubles_up_to_ten_seconds() -> None:
    it, now, waits = opened(), 0.0, []
    for _ in range(8):
        wait_s = it.wait_s(now)
        waits.append(wait_s)
        assert it.begin(now + wait_s - 0.001) is None
        now += wait_s
        probe = it.begin(now)
        assert probe == Permit(probe=True)
        assert it.begin(now) is None, "one at a time"
        it.end(probe, RequestResult.UNCLEAR, now)
    assert waits == pytest.approx([0.5, 1, 2, 4, 8, 10, 10, 10])
    assert max(waits) <= LONGEST_BACKOFF_S


def test_retry_after_is_honoured() -> None:
    it = breaker()
    for _ in range(3):
        report(it, RequestResult.BUSY, 0, retry_after_s=30)
    assert it.wait_s(0) == 30


def test_late_answers_of_before_change_nothing() -> None:
    it = breaker()
    late = it.begin(0)
    assert late is not None
    report(it, RequestResult.REFUSED, 0)
    it.end(late, RequestResult.ANSWERED, 0.1)
    assert it.is_open
    assert it.wait_s(0.1) == pytest.approx(0.4)


def test_it_closes_by_a_ramp_and_is_back_at_any_rate_within_30_s() -> None:
    it = opened()
    report(it, RequestResult.ANSWERED, 1.0)
    assert not it.is_open
    now, sent = 1.0, [0] * 16
    while now < 16.0:
        if it.capacity(now) >= 1:
            report(it, RequestResult.ANSWERED, now)
            sent[int(now - 1)] += 1
        else:
            wait_s = it.wait_s(now)
            assert wait_s > 0
            now += wait_s + 1e-6
    assert sent[0] <= 4
    assert all(after >= before for before, after in pairwise(sent[:15]))
    assert sent[10] > 1000
    assert it.capacity(1.0 + RAMP_S) == math.inf
    assert RAMP_S < 30


def test_it_opens_again_in_the_ramp() -> None:
    it = opened()
    report(it, RequestResult.ANSWERED, 1.0)
    report(it, RequestResult.REFUSED, 1.0)
    assert it.is_open
    assert it.wait_s(1.0) == 0.5, "it had been back: the backoff begins anew"
