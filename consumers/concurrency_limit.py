"""Limits how many flows a worker drains at once to as many as it can send for in time."""

INITIAL_LIMIT = 64.0
MIN_LIMIT = 8.0
MAX_LIMIT = 1024.0
INCREASE = 8.0
"""By how much the limit grows while as many requests as it allows are sent in time."""

DECREASE_FACTOR = 0.7
DECREASE_INTERVAL_S = 0.1
"""Requests that are late together decrease the limit once."""


class ConcurrencyLimit:
    """Additive increase, multiplicative decrease (Chiu and Jain, 1989), as in TCP's congestion control.

    A worker that takes more flows than it can send for misses their slots and then has to acquire new ones.
    """

    def __init__(self, late_after_s: float) -> None:
        self._late_after_s = late_after_s
        self._limit = INITIAL_LIMIT
        self._decreased_at_s = float("-inf")

    @property
    def limit(self) -> int:
        """How many flows may be drained at once."""
        return int(self._limit)

    def observe(self, delay_s: float, now_s: float) -> None:
        """Record by how much a request was sent after its slot; infinity for a slot that was missed."""
        if delay_s < self._late_after_s:
            self._limit = min(MAX_LIMIT, self._limit + INCREASE / self._limit)
        elif now_s - self._decreased_at_s >= DECREASE_INTERVAL_S:
            self._limit = max(MIN_LIMIT, self._limit * DECREASE_FACTOR)
            self._decreased_at_s = now_s
