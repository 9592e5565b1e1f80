"""Says why a process could not do what was asked of it: in metrics by reason, and in a log that is not flooded."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from prometheus_client import CollectorRegistry, Counter

from app.errors import PenstockError, Unavailable
from app.web.excerpt import one_line

LOG_INTERVAL_S = 1.0

log = structlog.get_logger()


@dataclass(slots=True)
class _Repeated:
    """When a line was last written, and how often it was left out since."""

    written_at_s: float
    left_out: int = 0


class TroubleLog:
    """Logs trouble that may come with every request: each event and reason at most once a second.

    Every line that is written passes RepeatedLines too, but making one takes longer than refusing a request.

    `left_out` in a line says how often that trouble was not logged since the line before it. Events and reasons must be
    few and fixed.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[tuple[str, str], _Repeated] = {}

    def warn(self, event: str, error: Unavailable) -> None:
        """Log an error as this event, unless that was done within the last second for the same reason."""
        now = self._clock()
        known = self._known.get((event, error.reason))
        if known is not None and now - known.written_at_s < LOG_INTERVAL_S:
            known.left_out += 1
            return
        left_out = 0 if known is None else known.left_out
        self._known[event, error.reason] = _Repeated(now)
        log.warning(event, reason=error.reason, error=one_line(error), left_out=left_out)


class Unavailability:
    """Counts and logs the answers 503 of a process."""

    def __init__(self, registry: CollectorRegistry, trouble: TroubleLog) -> None:
        self._trouble = trouble
        self._answers = Counter(
            "penstock_unavailable_total", "Requests answered 503, by reason.", ["reason"], registry=registry
        )

    def refused(self, error: PenstockError) -> None:
        """Report an error if it became an answer 503."""
        if not isinstance(error, Unavailable):
            return
        self._answers.labels(error.reason).inc()
        self._trouble.warn("answered_unavailable", error)
