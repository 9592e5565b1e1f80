"""How fast an operation may go on, so that it disturbs nobody."""

LOOKED_AT_PER_S = 10_000
"""How many jobs an operation looks at in a second, whether or not its filter finds them."""


class Pace:
    """Bounds how many jobs are touched each second. Time that was missed is not made up for."""

    def __init__(self, rate_per_s: int) -> None:
        self._rate_per_s = rate_per_s
        self._next_s = 0.0

    def next_after(self, began_s: float, touched: int, looked_at: int) -> float:
        """Return when the next batch may begin, after one that began at `began_s`, by the same clock."""
        lasts_s = max(touched / self._rate_per_s, looked_at / LOOKED_AT_PER_S)
        self._next_s = max(self._next_s, began_s) + lasts_s
        return self._next_s
