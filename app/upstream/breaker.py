"""A circuit breaker for one app server: when it is away nothing is sent to it but a probe now and then.

Pure: callers pass the time, in seconds of any monotonic clock. The states are those of Nygard, "Release It!" (2007):
closed, open, half-open; a closed one is reached by a ramp, so that an app server that has just come back is not met at
once by all that had waited for it.
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

IN_A_ROW = 3
"""Answers of "not now" that open it; a refused connection does at once."""

FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 10.0
RAMP_S = 15.0
RAMP_FIRST_PER_S = 2.0
"""The ramp begins with so many requests a second, doubles each second, and is over after RAMP_S."""


class Health(Enum):
    """What a request says of the app server."""

    ALIVE = "alive"
    BUSY = "busy"
    """It answered 502, 503 or 504."""
    REFUSED = "refused"
    """No connection was made."""
    UNCLEAR = "unclear"
    """The request was sent, and no answer came: of the request's making, as likely as not."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """Leave to send one request."""

    probe: bool


_PLAIN, _PROBE = Ticket(probe=False), Ticket(probe=True)


class Breaker:
    """Closed at first. `begin` before each request, `end` after it."""

    def __init__(self, jitter: Callable[[], float] = random.random) -> None:
        self._jitter = jitter
        self._failed = 0
        self._backoff_s = 0.0
        self._open_until: float | None = None
        self._probing = False
        self._ramp_from: float | None = None
        self._ramped = 0

    @property
    def is_open(self) -> bool:
        """Whether nothing but a probe may be sent."""
        return self._open_until is not None

    @property
    def is_closed(self) -> bool:
        """Whether any number of requests may be sent."""
        return self._open_until is None and self._ramp_from is None

    @property
    def is_healthy(self) -> bool:
        """Whether nothing was ever wrong, as far as is remembered: then one more good answer is no news."""
        return self._open_until is None and not self._failed

    def room(self, now: float) -> float:
        """How many requests may begin now; infinite where it is closed."""
        if self._open_until is not None:
            return 0 if self._probing or now < self._open_until else 1
        if self._ramp_from is None or now - self._ramp_from >= RAMP_S:
            return math.inf
        return max(0, math.floor(_ramp_total(now - self._ramp_from)) - self._ramped)

    def wait_s(self, now: float) -> float:
        """How long until there may be room, if nothing ends before."""
        if self._open_until is not None:
            return LONGEST_BACKOFF_S if self._probing else max(0.0, self._open_until - now)
        if self._ramp_from is None or self.room(now) > 0:
            return 0.0
        return max(0.0, self._ramp_from + min(RAMP_S, _ramp_time(self._ramped + 1)) - now)

    def begin(self, now: float) -> Ticket | None:
        """Leave to send; None: there is no room."""
        if self.is_closed:
            return _PLAIN
        if self.room(now) < 1:
            return None
        if self._open_until is not None:
            self._probing = True
            return _PROBE
        if self._ramp_from is not None:
            self._ramped += 1
            if now - self._ramp_from >= RAMP_S:
                self._ramp_from = None
        return _PLAIN

    def end(self, ticket: Ticket, health: Health, now: float, retry_after_s: float = 0.0) -> None:
        """What came of the request. Those that began before it opened change nothing any more."""
        if ticket.probe:
            self._end_probe(health, now, retry_after_s)
        elif self._open_until is not None or health is Health.UNCLEAR:
            return
        elif health is Health.ALIVE:
            self._failed = 0
        else:
            self._failed += 1
            if health is Health.REFUSED or self._failed >= IN_A_ROW:
                self._open(now, retry_after_s)

    def _end_probe(self, health: Health, now: float, retry_after_s: float) -> None:
        self._probing = False
        if health is not Health.ALIVE:
            self._open(now, retry_after_s)
            return
        self._open_until, self._backoff_s, self._failed = None, 0.0, 0
        self._ramp_from, self._ramped = now, 0

    def _open(self, now: float, retry_after_s: float) -> None:
        self._backoff_s = min(LONGEST_BACKOFF_S, max(FIRST_BACKOFF_S, 2 * self._backoff_s))
        # Many workers must not probe in step.
        wait_s = self._backoff_s * (1 - 0.2 * self._jitter())
        self._open_until = now + max(wait_s, retry_after_s)
        self._ramp_from = None


def _ramp_total(elapsed_s: float) -> float:
    """How many requests the ramp has allowed: one at once, then the integral of a rate that doubles each second."""
    return 1 + RAMP_FIRST_PER_S / math.log(2) * (2**elapsed_s - 1)


def _ramp_time(total: int) -> float:
    """The inverse of `_ramp_total`."""
    return math.log2(1 + (total - 1) * math.log(2) / RAMP_FIRST_PER_S)
