"""Trouble is counted each time by its reason, and logged once a second for each."""

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from app.errors import (
    CountersUnavailable,
    IssuerUnavailable,
    NotFound,
    QueueUnavailable,
    RulesUnavailable,
    TooManyConnections,
    Unavailable,
)
from app.process.unavailability import TroubleLog, Unavailability


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_each_reason_is_logged_once_a_second_with_what_was_left_out() -> None:
    clock = Clock()
    trouble = TroubleLog(clock)
    slow, away = CountersUnavailable("Redis: no reply in time", "timeout"), CountersUnavailable("Redis: gone")
    with capture_logs() as lines:
        for _ in range(1000):
            trouble.warn("decided_without_counters", slow)
            trouble.warn("decided_without_counters", away)
        trouble.warn("answered_unavailable", slow)
        clock.now += 0.99
        trouble.warn("decided_without_counters", slow)
        clock.now += 0.02
        trouble.warn("decided_without_counters", slow)
    assert [(line["event"], line["reason"], line["left_out"]) for line in lines] == [
        ("decided_without_counters", "counters_timeout", 0),
        ("decided_without_counters", "counters_unreachable", 0),
        ("answered_unavailable", "counters_timeout", 0),
        ("decided_without_counters", "counters_timeout", 1000),
    ]
    assert lines[0]["error"] == "Redis: no reply in time"


def test_a_line_is_one_line_of_bounded_length() -> None:
    with capture_logs() as lines:
        TroubleLog(Clock()).warn("answered_unavailable", QueueUnavailable("a\n" * 100_000))
    assert len(lines[0]["error"]) < 1000
    assert "\n" not in lines[0]["error"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RulesUnavailable("x", "missing"), "rules_missing"),
        (CountersUnavailable("x"), "counters_unreachable"),
        (QueueUnavailable("x", "full"), "queue_full"),
        (IssuerUnavailable("x"), "issuer_unreachable"),
        (TooManyConnections("x"), "connections_too_many"),
        (Unavailable("x"), "service_unreachable"),
    ],
)
def test_every_answer_503_has_its_reason(error: Unavailable, reason: str) -> None:
    registry = CollectorRegistry()
    unavailability = Unavailability(registry, TroubleLog(Clock()))
    unavailability.refused(error)
    unavailability.refused(NotFound("no answer 503"))
    assert registry.get_sample_value("penstock_unavailable_total", {"reason": reason}) == 1
