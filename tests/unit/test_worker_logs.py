"""A worker's log says each dead letter and each hold of a flow, and nothing about jobs that succeed."""

from structlog.testing import capture_logs

from app.jobs.model import StoredRequest
from app.queue.model import LeasedJob
from consumers.delivery import _log_trouble
from consumers.retry import Exhausted, FlowHeld

JOB = LeasedJob("0-aaaaaaaaaaaaaaaaaaaaaa", "r|user:u", "lease", 3, 3, StoredRequest("GET", b"/", [], b""))


def test_a_dead_letter_and_a_hold_are_one_line_each() -> None:
    with capture_logs() as lines:
        _log_trouble(JOB, Exhausted("attempts_exhausted", "The app server answered 500.", None))
        _log_trouble(JOB, FlowHeld(30.0, "upstream_unavailable", "The app server answered 429."))
    assert lines == [
        {
            "event": "dead_letter",
            "log_level": "warning",
            "job": JOB.id,
            "flow": "r|user:u",
            "code": "attempts_exhausted",
            "error": "The app server answered 500.",
        },
        {
            "event": "flow_held",
            "log_level": "warning",
            "flow": "r|user:u",
            "error": "The app server answered 429.",
            "retry_after_s": 30.0,
        },
    ]
