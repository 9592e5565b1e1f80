"""The circuit breaker of one app server, which opens when connections to it fail; answers never open it."""

import random
from collections.abc import Callable
from enum import Enum

from app.errors import UpstreamRefused, UpstreamReset
from app.upstream.breaker import LONGEST_BACKOFF_S, BreakerState, CircuitBreaker, Permit

RESETS_TO_OPEN = 3
RESETS_LAST_S = 2.0
"""A single reset may be the fault of its request. The breaker opens after this many resets over this time, if no
request is answered in between."""

LONGEST_BACKOFF_AFTER_RESETS_S = 1.0
"""Probes are more frequent than after a refused connection, because all resets may be the fault of one caller."""


class ConnectionResult(Enum):
    """What the end of a request says about the connections to its app server."""

    ANSWERED = "answered"
    REFUSED = "refused"
    """No connection was made: it was refused, or took too long."""
    RESET = "reset"
    """The connection ended before any of the answer came."""
    UNCLEAR = "unclear"
    """The answer was late, cut off or not valid HTTP, or the request was cancelled."""


def connection_result(error: BaseException) -> ConnectionResult:
    """What the error that ended a request says about the app server."""
    if isinstance(error, UpstreamRefused):
        return ConnectionResult.REFUSED
    return ConnectionResult.RESET if isinstance(error, UpstreamReset) else ConnectionResult.UNCLEAR


class ServerBreaker:
    """Call `begin` before each request to the app server and `end` after it. Times are of a monotonic clock."""

    def __init__(self, jitter: Callable[[], float] = random.random) -> None:
        self._circuit = CircuitBreaker(jitter)
        self._resets = 0
        self._first_reset_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether only a probe may be sent."""
        return self._circuit.state is BreakerState.OPEN

    @property
    def is_closed(self) -> bool:
        """Whether any number of requests may be sent."""
        return self._circuit.state is BreakerState.CLOSED

    @property
    def is_settled(self) -> bool:
        """Whether one more answer would change nothing."""
        return not self._resets and self._circuit.state is not BreakerState.OPEN

    def capacity(self, now: float) -> float:
        """How many requests may begin now; infinite while the breaker is closed."""
        return self._circuit.capacity(now)

    def wait_s(self, now: float) -> float:
        """Seconds until there is capacity, if the state does not change before."""
        return self._circuit.wait_s(now)

    def begin(self, now: float) -> Permit | None:
        """Take a permit to send a request; None while there is no capacity."""
        return self._circuit.begin(now)

    def not_sent(self, permit: Permit, now: float) -> None:
        """Return a permit that was not used."""
        if permit is Permit.PROBE:
            self._circuit.probe_not_sent(now)

    def end(self, permit: Permit, result: ConnectionResult, now: float) -> None:
        """Record how a request ended. Requests that began before the breaker opened do not close it."""
        if result is ConnectionResult.ANSWERED:
            self._resets = 0
            if permit is Permit.PROBE:
                self._circuit.probe_succeeded(now)
        elif result is ConnectionResult.REFUSED:
            self._circuit.trip(now, LONGEST_BACKOFF_S)
        elif result is ConnectionResult.RESET:
            self._count_reset(now)

    def _count_reset(self, now: float) -> None:
        if not self._resets:
            self._first_reset_at = now
        self._resets += 1
        if self._resets >= RESETS_TO_OPEN and now - self._first_reset_at >= RESETS_LAST_S:
            self._circuit.trip(now, LONGEST_BACKOFF_AFTER_RESETS_S)
