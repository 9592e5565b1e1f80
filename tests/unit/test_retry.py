"""What the result of an attempt means for its job."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import (
    UpstreamCircuitOpen,
    UpstreamCut,
    UpstreamError,
    UpstreamRefused,
    UpstreamReset,
    UpstreamTimeout,
)
from app.jobs.model import StoredResponse
from consumers.retry import BUSY_STATUSES, Backoff, Exhausted, FlowHeld, Released, Retry, Succeeded, outcome_of

BACKOFF = Backoff(base_s=1, max_s=60)


def answer(status: int, **headers: str) -> StoredResponse:
    return StoredResponse(status, [(n.replace("_", "-").encode(), v.encode()) for n, v in headers.items()], b"")


@pytest.mark.parametrize("status", [200, 204, 301, 400, 404, 422, 428, 430, 499])
def test_an_answer_below_500_other_than_429_is_the_result(status: int) -> None:
    assert outcome_of(answer(status), 1, 5, BACKOFF, 0.5) == Succeeded(answer(status))


@pytest.mark.parametrize("status", [429, 502, 503, 504])
@pytest.mark.parametrize("attempt", [1, 5, 50])
def test_a_busy_answer_holds_the_flow_and_is_never_the_last_attempt(status: int, attempt: int) -> None:
    held = FlowHeld(0.0, "upstream_unavailable", f"The app server answered {status}.", status)
    assert outcome_of(answer(status), attempt, 5, BACKOFF, 0.5) == held


@pytest.mark.parametrize("status", sorted(BUSY_STATUSES))
@pytest.mark.parametrize(("value", "expected_s"), [("120", 120), ("7200", 7200), ("soon", 0), ("-1", 0)])
def test_a_held_flow_knows_what_retry_after_asks_for(status: int, value: str, expected_s: float) -> None:
    outcome = outcome_of(answer(status, retry_after=value), 1, 5, BACKOFF, 0.5)
    assert isinstance(outcome, FlowHeld)
    assert outcome.retry_after_s == expected_s


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (answer(500), "upstream_error"),
        (answer(501), "upstream_error"),
        (answer(500, retry_after="120"), "upstream_error"),
        (UpstreamCut("cut"), "upstream_cut"),
        (UpstreamReset("reset"), "upstream_cut"),
        (UpstreamTimeout("slow"), "upstream_timeout"),
    ],
)
def test_a_request_that_was_sent_and_failed_uses_an_attempt(result: StoredResponse | UpstreamError, code: str) -> None:
    outcome = outcome_of(result, 4, 5, BACKOFF, 0.5)
    assert isinstance(outcome, Retry)
    answered = result.status if isinstance(result, StoredResponse) else None
    assert (outcome.code, outcome.answer) == (code, answered)
    last = outcome_of(result, 5, 5, BACKOFF, 0.5)
    assert isinstance(last, Exhausted)
    assert last.response == (result if isinstance(result, StoredResponse) else None)


@pytest.mark.parametrize(
    "error", [UpstreamRefused("refused"), UpstreamCircuitOpen("open")], ids=lambda e: type(e).__name__
)
def test_a_request_that_was_not_sent_uses_no_attempt(error: UpstreamError) -> None:
    assert outcome_of(error, 9, 5, BACKOFF, 0.5) == Released()


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_backoff_grows_and_is_bounded(attempt: int, jitter: float) -> None:
    delay_s = BACKOFF.delay_s(attempt, jitter)
    assert 0.5 <= delay_s <= 60
    assert delay_s <= BACKOFF.delay_s(attempt, 1.0) <= BACKOFF.delay_s(attempt + 1, 1.0)
