"""An operation touches no more jobs in a second than it may, in small batches, and leaves the stores to others."""

import pytest

from app.admin.services.pace import Pace


@pytest.mark.parametrize(("rate_per_s", "batch"), [(1, 1), (9, 1), (100, 10), (500, 50), (5000, 500)])
def test_batches_are_spread_over_each_second(rate_per_s: int, batch: int) -> None:
    assert Pace(rate_per_s).batch_size == batch


def test_the_rate_is_kept() -> None:
    pace, now_s, touched = Pace(100), 1000.0, 0
    while now_s < 1010.0:
        touched += 10
        now_s = pace.next_after(now_s, now_s + 0.001, 10, 10)
    assert touched == pytest.approx(1000, rel=0.02)


def test_what_a_slow_batch_has_missed_is_not_made_up_for() -> None:
    pace = Pace(100)
    pace.next_after(0.0, 0.001, 10, 10)
    assert pace.next_after(50.0, 50.001, 10, 10) == pytest.approx(50.1)


def test_looking_at_jobs_that_are_not_wanted_takes_its_time_too() -> None:
    assert Pace(500).next_after(0.0, 0.0, 0, 100) == pytest.approx(0.01)


def test_the_stores_are_left_to_others_for_half_of_the_time() -> None:
    assert Pace(5000).next_after(0.0, 0.2, 50, 50) == pytest.approx(0.4)
