"""A circuit breaker: while it is open, only an occasional probe is sent.

Pure: callers pass the time, in seconds of any monotonic clock, and decide what opens the breaker. The states are those
of Nygard, "Release It!" (2007). A breaker closes by a ramp, so that app servers that have just recovered do not receive
the whole backlog at once.
"""

import math
import random
from collections.abc import Callable
from enum import Enum

FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 10.0
RAMP_S = 15.0
RAMP_FIRST_PER_S = 2.0
"""The ramp begins with this many requests a second, doubles each second, and ends after RAMP_S."""


class BreakerState(Enum):
    """The states of a circuit breaker."""

    CLOSED = "closed"
    """Any number of requests may be sent."""
    OPEN = "open"
    """Only probes may be sent, one per backoff."""
    HALF_OPEN = "half-open"
    """A probe has succeeded, and the number of requests that may be sent grows along the ramp."""


class Permit(Enum):
    """Permission to send one request."""

    REGULAR = "regular"
    PROBE = "probe"
    """The request is sent to find out whether an open breaker may close."""


class CircuitBreaker:
    """A circuit breaker, closed at first. Call `begin` before each request."""

    def __init__(self, jitter: Callable[[], float] = random.random) -> None:
        self._jitter = jitter
        self._state = BreakerState.CLOSED
        self._backoff_s = 0.0
        self._longest_backoff_s = LONGEST_BACKOFF_S
        self.next_probe_at = 0.0
        """While the breaker is open: when the next probe may be sent."""
        self._ramp_from = 0.0
        self._ramp_sent = 0

    @property
    def state(self) -> BreakerState:
        """The state after the last call; a ramp that has ended is noticed by the next `begin`."""
        return self._state

    def capacity(self, now: float) -> float:
        """How many requests may begin now; infinite while the breaker is closed."""
        if self._state is BreakerState.OPEN:
            return 0 if now < self.next_probe_at else 1
        if self._state is BreakerState.CLOSED or now - self._ramp_from >= RAMP_S:
            return math.inf
        return max(0, math.floor(_ramp_total(now - self._ramp_from)) - self._ramp_sent)

    def wait_s(self, now: float) -> float:
        """Seconds until there is capacity, if the state does not change before."""
        if self._state is BreakerState.OPEN:
            return max(0.0, self.next_probe_at - now)
        if self.capacity(now) >= 1:
            return 0.0
        return max(0.0, self._ramp_from + min(RAMP_S, _ramp_time(self._ramp_sent + 1)) - now)

    def begin(self, now: float) -> Permit | None:
        """Take a permit to send a request; None while there is no capacity.

        A probe starts the next backoff at once, so that a probe that is answered slowly does not delay the next one.
        """
        if self._state is BreakerState.CLOSED:
            return Permit.REGULAR
        if self.capacity(now) < 1:
            return None
        if self._state is BreakerState.OPEN:
            self._back_off(now)
            return Permit.PROBE
        self._ramp_sent += 1
        if now - self._ramp_from >= RAMP_S:
            self._state = BreakerState.CLOSED
        return Permit.REGULAR

    def trip(self, now: float, longest_backoff_s: float = LONGEST_BACKOFF_S) -> None:
        """Open the breaker; an open breaker stays open, with the longer of both longest backoffs."""
        if self._state is BreakerState.OPEN:
            self._longest_backoff_s = max(self._longest_backoff_s, longest_backoff_s)
            return
        self._state = BreakerState.OPEN
        self._backoff_s, self._longest_backoff_s = 0.0, longest_backoff_s
        self._back_off(now)

    def probe_succeeded(self, now: float) -> None:
        """Begin to close; does nothing unless the breaker is open."""
        if self._state is BreakerState.OPEN:
            self._state = BreakerState.HALF_OPEN
            self._ramp_from, self._ramp_sent = now, 0

    def probe_not_sent(self, now: float) -> None:
        """Let another probe follow at once, because the last one was not sent."""
        self.next_probe_at = min(self.next_probe_at, now)

    def _back_off(self, now: float) -> None:
        self._backoff_s = min(self._longest_backoff_s, max(FIRST_BACKOFF_S, 2 * self._backoff_s))
        # The jitter keeps many processes from probing at the same moment.
        self.next_probe_at = now + self._backoff_s * (1 - 0.2 * self._jitter())


def _ramp_total(elapsed_s: float) -> float:
    """How many requests the ramp has allowed: one at once, then the integral of a rate that doubles each second."""
    return 1 + RAMP_FIRST_PER_S / math.log(2) * (2**elapsed_s - 1)


def _ramp_time(total: int) -> float:
    """When the ramp has allowed `total` requests, in seconds; the inverse of `_ramp_total`."""
    return math.log2(1 + (total - 1) * math.log(2) / RAMP_FIRST_PER_S)
