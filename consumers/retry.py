"""What an attempt's outcome means for its job: a pure decision, stored by the queue, never a loop in memory."""

from dataclasses import dataclass

from app.errors import UpstreamError, UpstreamHeld, UpstreamRefused, UpstreamTimeout
from app.jobs.model import StoredResponse
from app.upstream.upstream import BUSY_STATUSES
from app.web.headers import retry_after_s

NOT_NOW_STATUSES = BUSY_STATUSES | {429}
"""The app server's way to say "not now": not the job's fault."""


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The app server answered, below 500 and not 429."""

    response: StoredResponse


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again after `delay_s`; `give_back`: this attempt does not count."""

    delay_s: float
    code: str
    message: str
    give_back: bool


@dataclass(frozen=True, slots=True)
class Exhausted:
    """The last attempt failed: a dead letter, with the app server's last answer where there was one."""

    code: str
    message: str
    response: StoredResponse | None


@dataclass(frozen=True, slots=True)
class Held:
    """The app servers are away: back to the head of its flow, and this attempt does not count."""


Outcome = Succeeded | Retry | Exhausted | Held
OUTCOMES = (Succeeded, Retry, Exhausted, Held)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential with full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/."""

    base_s: float
    max_s: float

    def delay_s(self, attempt: int, jitter: float) -> float:
        """The delay after attempt number `attempt`; `jitter` from 0 to 1. Never under half of the base."""
        ceiling: float = min(self.max_s, self.base_s * 2.0 ** (min(attempt, 32) - 1))
        return max(self.base_s / 2, ceiling * jitter)


def outcome_of(
    result: StoredResponse | UpstreamError,
    attempt: int,
    max_attempts: int,
    backoff: Backoff,
    jitter: float,
    *,
    away: bool = False,
) -> Outcome:
    """What becomes of a job after attempt number `attempt`; `away`: no app server is there to try another."""
    if isinstance(result, UpstreamHeld) or (away and _says_not_now(result)):
        return Held()
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
