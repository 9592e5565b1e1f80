"""What an attempt's outcome means for its job: a pure decision, stored by the queue, never a loop in memory."""

from dataclasses import dataclass

from app.errors import UpstreamError, UpstreamRefused, UpstreamTimeout
from app.jobs.model import StoredResponse

AWAY_STATUSES = frozenset({429, 502, 503, 504})
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


Outcome = Succeeded | Retry | Exhausted


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential with full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/."""

    base_s: float
    max_s: float

    def delay_s(self, attempt: int, jitter: float) -> float:
        """The delay after attempt number `attempt`; `jitter` from 0 to 1. Never under half of the base."""
        ceiling: float = min(self.max_s, self.base_s * 2.0 ** (min(attempt, 32) - 1))
        return max(self.base_s / 2, ceiling * jitter)


def judge(
    result: StoredResponse | UpstreamError, attempt: int, max_attempts: int, backoff: Backoff, jitter: float
) -> Outcome:
    """What becomes of a job after attempt number `attempt`."""
    delay_s = backoff.delay_s(attempt, jitter)
    if isinstance(result, UpstreamRefused):
        return Retry(delay_s, "upstream_unreachable", str(result), give_back=True)
    if isinstance(result, StoredResponse):
        if result.status in AWAY_STATUSES:
            wait_s = max(delay_s, _retry_after_s(result, backoff.max_s))
            return Retry(wait_s, "upstream_unavailable", f"The app server answered {result.status}.", give_back=True)
        if result.status < 500:
            return Succeeded(result)
    code, message = _failure(result)
    if attempt < max_attempts:
        return Retry(delay_s, code, message, give_back=False)
    return Exhausted("attempts_exhausted", message, result if isinstance(result, StoredResponse) else None)


def _failure(result: StoredResponse | UpstreamError) -> tuple[str, str]:
    if isinstance(result, StoredResponse):
        return "upstream_error", f"The app server answered {result.status}."
    return ("upstream_timeout" if isinstance(result, UpstreamTimeout) else "upstream_cut"), str(result)


def _retry_after_s(response: StoredResponse, max_s: float) -> float:
    for name, value in response.headers:
        if name.lower() == b"retry-after" and value.strip().isdigit():
            return min(float(value), max(max_s, 3600.0))
    return 0.0
