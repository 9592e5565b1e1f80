"""What an attempt's outcome means for its job."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import UpstreamCut, UpstreamError, UpstreamRefused, UpstreamTimeout
from app.jobs.model import StoredResponse
from consumers.retry import Backoff, Exhausted, Retry, Succeeded, outcome_of

BACKOFF = Backoff(base_s=1, max_s=60)


def answer(status: int, **headers: str) -> StoredResponse:
    return StoredResponse(status, [(n.replace("_", "-").encode(), v.encode()) for n, v in headers.items()], b"")


@pytest.mark.parametrize("status", [200, 204, 301, 400, 404, 422, 499])
def test_an_answer_below_500_is_the_answer(status: int) -> None:
    assert outcome_of(answer(status), 1, 5, BACKOFF, 0.5) == Succeeded(answer(status))


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_not_now_is_not_the_jobs_fault(status: int) -> None:
    for attempt in (1, 5, 50):
        outcome = outcome_of(answer(status), attempt, 5, BACKOFF, 0.5)
        assert isinstance(outcome, Retry)
        assert outcome.give_back


def test_retry_after_is_honoured() -> None:
    outcome = outcome_of(answer(503, retry_after="120"), 1, 5, BACKOFF, 0.5)
    assert isinstance(outcome, Retry)
    assert outcome.delay_s == 120


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (answer(500), "upstream_error"),
        (answer(501), "upstream_error"),
        (UpstreamCut("cut"), "upstream_cut"),
        (UpstreamTimeout("slow"), "upstream_timeout"),
    ],
)
def test_what_was_sent_and_failed_uses_an_attempt(result: StoredResponse | UpstreamError, code: str) -> None:
    outcome = outcome_of(result, 4, 5, BACKOFF, 0.5)
    assert isinstance(outcome, Retry)
    assert (outcome.give_back, outcome.code) == (False, code)
    last = outcome_of(result, 5, 5, BACKOFF, 0.5)
    assert isinstance(last, Exhausted)
    assert last.response == (result if isinstance(result, StoredResponse) else None)


def test_a_refused_connection_was_no_attempt() -> None:
    outcome = outcome_of(UpstreamRefused("refused"), 9, 5, BACKOFF, 0.5)
    assert isinstance(outcome, Retry)
    assert outcome.give_back


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_backoff_grows_and_is_bounded(attempt: int, jitter: float) -> None:
    delay_s = BACKOFF.delay_s(attempt, jitter)
    assert 0.5 <= delay_s <= 60
    assert delay_s <= BACKOFF.delay_s(attempt, 1.0) <= BACKOFF.delay_s(attempt + 1, 1.0)
