"""The deadlines of a client's connection, with times that the test chooses."""

import pytest

from app.http1.server.deadlines import LINGER_S, Deadlines
from app.http1.server.limits import ServerLimits

LIMITS = ServerLimits(
    connections=1,
    header_bytes=1,
    headers=1,
    body_bytes=0,
    header_s=10.0,
    stall_s=30.0,
    bytes_per_s=100,
    keep_alive_s=75.0,
)
WINDOW_BYTES = 3000


@pytest.fixture
def deadlines() -> Deadlines:
    return Deadlines(LIMITS)


@pytest.mark.parametrize(
    ("expect", "seconds"),
    [
        (Deadlines.expect_head, 10.0),
        (Deadlines.expect_body, 30.0),
        (Deadlines.expect_request, 75.0),
        (Deadlines.expect_close, LINGER_S),
    ],
    ids=["head", "body", "request", "close"],
)
def test_what_is_expected_is_overdue_after_its_time(deadlines: Deadlines, expect: object, seconds: float) -> None:
    assert callable(expect)
    expect(deadlines, 1000.0)
    assert not deadlines.is_read_overdue(1000.0 + seconds - 0.1)
    assert deadlines.is_read_overdue(1000.0 + seconds)


def test_nothing_is_overdue_while_nothing_is_expected(deadlines: Deadlines) -> None:
    assert not deadlines.is_read_overdue(1e12)
    deadlines.expect_head(0.0)
    deadlines.expect_nothing()
    assert not deadlines.is_read_overdue(1e12)


def test_a_body_progresses_by_the_bytes_of_its_window_alone(deadlines: Deadlines) -> None:
    deadlines.expect_body(0.0)
    deadlines.body_received(WINDOW_BYTES - 1)
    assert not deadlines.body_progresses
    deadlines.body_received(1)
    assert deadlines.body_progresses
    deadlines.expect_body(30.0)
    assert not deadlines.body_progresses


def test_without_a_minimum_rate_one_byte_is_progress() -> None:
    deadlines = Deadlines(ServerLimits(1, 1, 1, 0, 10.0, 30.0, 0, 75.0))
    deadlines.expect_body(0.0)
    assert not deadlines.body_progresses
    deadlines.body_received(1)
    assert deadlines.body_progresses


def test_a_response_stalls_when_too_little_of_it_is_received_in_a_window(deadlines: Deadlines) -> None:
    deadlines.written(100_000)
    assert not deadlines.is_write_stalled(0.0, 50_000), "the first check begins a window"
    assert not deadlines.is_write_stalled(29.9, 50_000)
    assert not deadlines.is_write_stalled(30.0, 50_000 - WINDOW_BYTES), "enough was received"
    assert not deadlines.is_write_stalled(59.9, 50_000 - WINDOW_BYTES)
    assert deadlines.is_write_stalled(60.0, 50_000 - 2 * WINDOW_BYTES + 1), "one byte is missing"


def test_more_that_is_written_does_not_hide_that_too_little_is_received(deadlines: Deadlines) -> None:
    deadlines.written(100_000)
    assert not deadlines.is_write_stalled(0.0, 100_000)
    deadlines.written(100_000)
    assert deadlines.is_write_stalled(30.0, 200_000)


def test_a_response_that_was_received_completely_begins_a_new_window(deadlines: Deadlines) -> None:
    deadlines.written(1000)
    assert not deadlines.is_write_stalled(0.0, 1000)
    assert not deadlines.is_write_stalled(20.0, 0)
    deadlines.written(1000)
    assert not deadlines.is_write_stalled(40.0, 1000), "the window begins here"
    assert deadlines.is_write_stalled(70.0, 1000)
