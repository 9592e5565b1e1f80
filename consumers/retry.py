"""Decides what the result of an attempt means for its job. The decision is pure and is stored by the queue."""

from dataclasses import dataclass

from app.errors import UpstreamError, UpstreamRefused, UpstreamTimeout
from app.jobs.model import StoredResponse
from app.web.retry_after import retry_after_s

BUSY_STATUSES = frozenset({429, 502, 503, 504})
"""Answers that ask the caller to come back later: they use no attempt, and the flow is held."""


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The app server answered with a status below 500 other than 429."""

    response: StoredResponse


@dataclass(frozen=True, slots=True)
class Retry:
    """The attempt was used: the job backs off for `delay_s`, and the jobs behind it go on."""

    delay_s: float
    code: str
    message: str
    answer: int | None = None
    """The app server's status, if it answered."""


@dataclass(frozen=True, slots=True)
class Exhausted:
    """The last attempt failed: the job becomes a dead letter, with the app server's last answer if there was one."""

    code: str
    message: str
    response: StoredResponse | None


@dataclass(frozen=True, slots=True)
class FlowHeld:
    """The endpoint is busy: the job returns to the head of its flow, which is held, and no attempt is used.

    The flow is held for a backoff that grows with each such answer in a row, and for `retry_after_s` at least.
    """

    retry_after_s: float
    code: str
    message: str
    answer: int | None = None
    """The app server's status."""


@dataclass(frozen=True, slots=True)
class Released:
    """No app server was reached: the job returns to the head of its flow, and no attempt is used."""


Outcome = Succeeded | Retry | Exhausted | FlowHeld | Released
OUTCOMES = (Succeeded, Retry, Exhausted, FlowHeld, Released)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential with full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/."""

    base_s: float
    max_s: float

    def delay_s(self, attempt: int, jitter: float) -> float:
        """The delay after attempt number `attempt`, at least half of the base; `jitter` lies between 0 and 1."""
        ceiling: float = min(self.max_s, self.base_s * 2.0 ** (min(attempt, 32) - 1))
        return max(self.base_s / 2, ceiling * jitter)


def outcome_of(
    result: StoredResponse | UpstreamError, attempt: int, max_attempts: int, backoff: Backoff, jitter: float
) -> Outcome:
    """Decide what becomes of a job after attempt number `attempt`."""
    if isinstance(result, UpstreamRefused):
        return Released()
    if isinstance(result, StoredResponse):
        if result.status in BUSY_STATUSES:
            message = f"The app server answered {result.status}."
            return FlowHeld(retry_after_s(result.headers), "upstream_unavailable", message, result.status)
        if result.status < 500:
            return Succeeded(result)
    code, message = _failure(result)
    response = result if isinstance(result, StoredResponse) else None
    if attempt < max_attempts:
        return Retry(backoff.delay_s(attempt, jitter), code, message, None if response is None else response.status)
    return Exhausted("attempts_exhausted", message, response)


def _failure(result: StoredResponse | UpstreamError) -> tuple[str, str]:
    if isinstance(result, StoredResponse):
        return "upstream_error", f"The app server answered {result.status}."
    return ("upstream_timeout" if isinstance(result, UpstreamTimeout) else "upstream_cut"), str(result)
