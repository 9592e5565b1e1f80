"""Repeated trouble is said once and then counted; what happens to one job, and a change of a state, is always said."""

from typing import Any

import pytest
import structlog

from app.process.repeated_lines import MAX_EVENTS, MAX_LINES, WINDOW_S, RepeatedLines


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lines(clock: Clock) -> RepeatedLines:
    return RepeatedLines(clock)


def written(lines: RepeatedLines, event: str = "trouble", level: str = "warning", **more: Any) -> dict[str, Any] | None:  # noqa: ANN401
    try:
        return dict(lines(None, level, {"event": event, "level": level, **more}))
    except structlog.DropEvent:
        return None


def test_a_store_that_is_away_for_ten_minutes_is_said_ten_times_and_counted(lines: RepeatedLines, clock: Clock) -> None:
    said = []
    for number in range(3315):
        said.append(written(lines, "redis_unreachable", error=f"refused {number}"))
        clock.now_s += 600 / 3315
    found = [line for line in said if line is not None]
    assert len(found) == 10
    assert "left_out" not in found[0]
    assert sum(line.get("left_out", 0) for line in found) + len(found) > 2950, "all but the last minute's are counted"


def test_lines_of_different_things_are_all_written_up_to_a_number(lines: RepeatedLines, clock: Clock) -> None:
    found = [written(lines, "flow_held", flow=f"r|user:{number}") for number in range(100)]
    assert [line is not None for line in found] == [True] * MAX_LINES + [False] * (100 - MAX_LINES)
    clock.now_s += WINDOW_S
    line = written(lines, "flow_held", flow="r|user:0")
    assert line is not None
    assert line["left_out"] == 100 - MAX_LINES


@pytest.mark.parametrize("fact", [{"job": "0-a"}, {"offset": 7}, {"open": True}, {"has_room": False}])
def test_single_facts_are_all_written(lines: RepeatedLines, fact: dict[str, Any]) -> None:
    assert all(written(lines, **fact) for _ in range(100))


def test_what_is_no_trouble_is_all_written(lines: RepeatedLines) -> None:
    assert all(written(lines, level="info") for _ in range(100))


def test_what_a_line_counts_itself_is_not_lost(lines: RepeatedLines, clock: Clock) -> None:
    assert written(lines, left_out=0) is not None
    assert written(lines, left_out=40) is None
    clock.now_s += WINDOW_S
    line = written(lines, left_out=5)
    assert line is not None
    assert line["left_out"] == 46


def test_other_events_are_not_held_back_and_memory_is_bounded(lines: RepeatedLines) -> None:
    assert all(written(lines, f"event {number}") for number in range(3 * MAX_EVENTS))
    assert len(lines._windows) <= MAX_EVENTS
