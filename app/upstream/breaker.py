"""A circuit breaker for one app server: while it is open, only an occasional probe is sent.

Pure: callers pass the time, in seconds of any monotonic clock. The states are those of Nygard, "Release It!" (2007):
closed, open, half-open. A breaker closes by a ramp, so that an app server that has just recovered does not receive
the whole backlog at once.
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

BUSY_ANSWERS_TO_OPEN = 3
"""So many busy answers in a row open the breaker; a refused connection opens it at once."""

FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 10.0
RAMP_S = 15.0
RAMP_FIRST_PER_S = 2.0
"""The ramp begins with this many requests a second, doubles each second, and ends after RAMP_S."""


class RequestResult(Enum):
    """What the end of a request says about the app server."""

    ANSWERED = "answered"
    BUSY = "busy"
    """The app server answered 502, 503 or 504."""
    REFUSED = "refused"
    """No connection was made."""
    UNCLEAR = "unclear"
    """The request was sent and no answer came, which the request itself may have caused."""


@dataclass(frozen=True, slots=True)
class Permit:
    """Permission to send one request."""

    probe: bool


_REGULAR, _PROBE = Permit(probe=False), Permit(probe=True)


class Breaker:
    """A circuit breaker, closed at first. Call `begin` before each request and `end` after it."""

    def __init__(self, jitter: Callable[[], float] = random.random) -> None:
        self._jitter = jitter
        self._failures = 0
        self._backoff_s = 0.0
        self._open_until: float | None = None
        self._probing = False
        self._ramp_from: float | None = None
        self._ramped = 0

    @property
    def is_open(self) -> bool:
        """Whether only a probe may be sent."""
        return self._open_until is not None

    @property
    def is_closed(self) -> bool:
        """Whether any number of requests may be sent."""
        return self._open_until is None and self._ramp_from is None

    @property
    def is_settled(self) -> bool:
        """Whether no failure is remembered, so that one more good answer changes nothing."""
        return self._open_until is None and not self._failures

    def capacity(self, now: float) -> float:
        """How many requests may begin now; infinite while the breaker is closed."""
        if self._open_until is not None:
            return 0 if self._probing or now < self._open_until else 1
        if self._ramp_from is None or now - self._ramp_from >= RAMP_S:
            return math.inf
        return max(0, math.floor(_ramp_total(now - self._ramp_from)) - self._ramped)

    def wait_s(self, now: float) -> float:
        """Seconds until there may be capacity, if no request ends before."""
        if self._open_until is not None:
            return LONGEST_BACKOFF_S if self._probing else max(0.0, self._open_until - now)
        if self._ramp_from is None or self.capacity(now) > 0:
            return 0.0
        return max(0.0, self._ramp_from + min(RAMP_S, _ramp_time(self._ramped + 1)) - now)

    def begin(self, now: float) -> Permit | None:
        """Take a permit to send a request; None while there is no capacity."""
        if self.is_closed:
            return _REGULAR
        if self.capacity(now) < 1:
            return None
        if self._open_until is not None:
            self._probing = True
            return _PROBE
        if self._ramp_from is not None:
            self._ramped += 1
            if now - self._ramp_from >= RAMP_S:
                self._ramp_from = None
        return _REGULAR

    def end(self, permit: Permit, result: RequestResult, now: float, retry_after_s: float = 0.0) -> None:
        """Record how a request ended. Requests that began before the breaker opened no longer change its state."""
        if permit.probe:
            self._end_probe(result, now, retry_after_s)
        elif self._open_until is not None or result is RequestResult.UNCLEAR:
            return
        elif result is RequestResult.ANSWERED:
            self._failures = 0
        else:
            self._failures += 1
            if result is RequestResult.REFUSED or self._failures >= BUSY_ANSWERS_TO_OPEN:
                self._open(now, retry_after_s)

    def _end_probe(self, result: RequestResult, now: float, retry_after_s: float) -> None:
        self._probing = False
        if result is not RequestResult.ANSWERED:
            self._open(now, retry_after_s)
            return
        self._open_until, self._backoff_s, self._failures = None, 0.0, 0
        self._ramp_from, self._ramped = now, 0

    def _open(self, now: float, retry_after_s: float) -> None:
        self._backoff_s = min(LONGEST_BACKOFF_S, max(FIRST_BACKOFF_S, 2 * self._backoff_s))
        # The jitter keeps many workers from probing at the same moment.
        wait_s = self._backoff_s * (1 - 0.2 * self._jitter())
        self._open_until = now + max(wait_s, retry_after_s)
        self._ramp_from = None


def _ramp_total(elapsed_s: float) -> float:
    """How many requests the ramp has allowed: one at once, then the integral of a rate that doubles each second."""
    return 1 + RAMP_FIRST_PER_S / math.log(2) * (2**elapsed_s - 1)


def _ramp_time(total: int) -> float:
    """When the ramp has allowed `total` requests, in seconds; the inverse of `_ramp_total`."""
    return math.log2(1 + (total - 1) * math.log(2) / RAMP_FIRST_PER_S)
