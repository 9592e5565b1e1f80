"""Decides what the result of an attempt means for its job. The decision is pure and is stored by the queue."""

from dataclasses import dataclass

from app.errors import UpstreamCircuitOpen, UpstreamError, UpstreamRefused, UpstreamTimeout
from app.jobs.model import StoredResponse
from app.upstream.upstream import BUSY_STATUSES
from app.web.headers import retry_after_s

NOT_NOW_STATUSES = BUSY_STATUSES | {429}
"""Answers that ask the caller to come back later; they use no attempt."""


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The app server answered with a status below 500 other than 429."""

    response: StoredResponse


@dataclass(frozen=True, slots=True)
class Retry:
    """The job backs off for `delay_s`; with `give_back` the attempt is not counted."""

    delay_s: float
    code: str
    message: str
    give_back: bool


@dataclass(frozen=True, slots=True)
class Exhausted:
    """The last attempt failed: the job becomes a dead letter, with the app server's last answer if there was one."""

    code: str
    message: str
    response: StoredResponse | None


@dataclass(frozen=True, slots=True)
class Released:
    """No app server can be reached: the job returns to the head of its flow, and the attempt is not counted."""


Outcome = Succeeded | Retry | Exhausted | Released
OUTCOMES = (Succeeded, Retry, Exhausted, Released)


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
    result: StoredResponse | UpstreamError,
    attempt: int,
    max_attempts: int,
    backoff: Backoff,
    jitter: float,
    *,
    all_open: bool = False,
) -> Outcome:
    """Decide what becomes of a job after attempt number `attempt`.

    `all_open`: the circuit breakers of all app servers are open.
    """
    if isinstance(result, UpstreamCircuitOpen) or (all_open and _says_not_now(result)):
        return Released()
    delay_s = backoff.delay_s(attempt, jitter)
    if isinstance(result, UpstreamRefused):
        return Retry(delay_s, "upstream_unreachable", str(result), give_back=True)
    if isinstance(result, StoredResponse):
        if result.status in NOT_NOW_STATUSES:
            wait_s = max(delay_s, retry_after_s(result.headers))
            return Retry(wait_s, "upstream_unavailable", f"The app server answered {result.status}.", give_back=True)
        if result.status < 500:
            return Succeeded(result)
    code, message = _failure(result)
    if attempt < max_attempts:
        return Retry(delay_s, code, message, give_back=False)
    return Exhausted("attempts_exhausted", message, result if isinstance(result, StoredResponse) else None)


def _says_not_now(result: StoredResponse | UpstreamError) -> bool:
    if isinstance(result, StoredResponse):
        return result.status in BUSY_STATUSES
    return isinstance(result, UpstreamRefused)


def _failure(result: StoredResponse | UpstreamError) -> tuple[str, str]:
    if isinstance(result, StoredResponse):
        return "upstream_error", f"The app server answered {result.status}."
    return ("upstream_timeout" if isinstance(result, UpstreamTimeout) else "upstream_cut"), str(result)
