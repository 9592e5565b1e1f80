"""How fast an operation may go on, so that it disturbs nobody."""

LOOKED_AT_PER_S = 10_000
"""How many jobs an operation looks at in a second, whether or not its filter finds them."""

BATCHES_PER_S = 10
"""How many batches a second an operation is divided into, at rates that permit it."""


class Pace:
    """Bounds how many jobs are touched each second, and keeps the stores busy for half of the time at most.

    Time that was missed is not made up for.
    """

    def __init__(self, rate_per_s: int) -> None:
        self._rate_per_s = rate_per_s
        self._next_s = 0.0

    @property
    def batch_size(self) -> int:
        """How many jobs a batch touches, so that they are spread over each second."""
        return max(1, self._rate_per_s // BATCHES_PER_S)

    def next_after(self, began_s: float, ended_s: float, touched: int, looked_at: int) -> float:
        """Return when the next batch may begin, after one that began and ended at these times of one clock."""
        lasts_s = max(touched / self._rate_per_s, looked_at / LOOKED_AT_PER_S, 2 * (ended_s - began_s))
        self._next_s = max(self._next_s, began_s) + lasts_s
        return self._next_s
