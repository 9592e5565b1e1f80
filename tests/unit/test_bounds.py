"""The assertion on arrivals catches what it should."""

from collections.abc import Iterable

import pytest

from tests.support.bounds import assert_in_order, assert_within_rate


def read_at_once(times_s: Iterable[float]) -> list[tuple[float, float]]:
    """Arrivals at an app server that always has nothing left to read when one comes."""
    return [(at, at) for at in times_s]


def test_a_paced_sequence_is_within_its_rate() -> None:
    assert_within_rate(read_at_once(i * 0.1 for i in range(100)), rate_per_s=10, burst=1, send_delay_s=0)


def test_a_burst_in_the_middle_is_found() -> None:
    paced = [i * 0.1 for i in range(100)]
    with pytest.raises(AssertionError):
        assert_within_rate(read_at_once([*paced, 5.01, 5.02, 5.03]), rate_per_s=10, burst=1, send_delay_s=0)


def test_a_rate_slightly_too_high_is_found() -> None:
    with pytest.raises(AssertionError):
        assert_within_rate(read_at_once(i * 0.09 for i in range(200)), rate_per_s=10, burst=1, send_delay_s=0.15)


def test_what_an_app_server_that_did_not_run_notes_at_once_may_have_come_before() -> None:
    stopped = [(1.95, 2.5) for _ in range(6)]
    paced = read_at_once(i * 0.1 for i in range(20))
    assert_within_rate([*paced, *stopped, *read_at_once(2.6 + i * 0.1 for i in range(20))], 10, burst=1, send_delay_s=0)
    with pytest.raises(AssertionError):
        assert_within_rate([*paced, *stopped, *stopped], rate_per_s=10, burst=1, send_delay_s=0)


def test_what_came_too_late_is_out_of_order() -> None:
    assert_in_order([(1, 0.0, 0.0), (3, 1.0, 0.9), (2, 1.01, 1.005), (4, 2.0, 1.9)])
    with pytest.raises(AssertionError, match="2 came after 3"):
        assert_in_order([(1, 0.0, 0.0), (3, 1.0, 0.9), (2, 1.2, 1.1)])


def test_what_was_read_without_a_pause_may_have_come_in_any_order() -> None:
    assert_in_order([(1, 0.0, 0.0), (3, 1.0, 0.9), (2, 1.2, 0.9), (4, 2.0, 1.9)])
