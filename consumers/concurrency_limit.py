"""How many flows a worker drains at once: as many as it can send for in time, found as TCP finds its rate."""

FIRST = 64.0
LEAST = 8.0
MOST = 1024.0
STEP = 8.0
CUT = 0.7
CUT_EVERY_S = 0.1


class ConcurrencyLimit:
    """Additive increase, multiplicative decrease: Chiu and Jain 1989.

    A worker that takes more flows than it can send for misses their slots, and so does its work twice.
    """

    def __init__(self, late_s: float) -> None:
        self._late_s = late_s
        self._size = FIRST
        self._cut_at_s = float("-inf")

    @property
    def size(self) -> int:
        """How many flows may be drained at once."""
        return int(self._size)

    def observe(self, delay_s: float, now_s: float) -> None:
        """A request was on its way so long after its slot; infinite for a slot that was missed."""
        if delay_s < self._late_s:
            self._size = min(MOST, self._size + STEP / self._size)
        elif now_s - self._cut_at_s >= CUT_EVERY_S:
            self._size = max(LEAST, self._size * CUT)
            self._cut_at_s = now_s
