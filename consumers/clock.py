"""The counters' clock, as read by ours: slots are times of theirs, and jobs leave by ours."""

WINDOW_S = 10.0
"""How long the quickest answer counts, once to twice: clocks drift apart, by a millisecond in this time at worst."""


class CountersClock:
    """Says when an answer was given there, in times of `time.monotonic`, by the quickest answers of late.

    To take each answer for given when it arrives would shift the slots of one that is late, and with them all that
    follows: the next, which is not, would bring its slots too early after those.
    """

    def __init__(self) -> None:
        self._quickest_s = self._quickest_before_s = float("inf")
        self._renewed_at_s = float("-inf")

    def moment_s(self, asked_s: float, given_us: int, answered_s: float) -> float:
        """When an answer was given: asked for and answered at times of ours, `given_us` by their clock.

        Between the two in any case, whatever happens to their clock; and rather later than it was.
        """
        given_s = given_us / 1e6
        if answered_s - self._renewed_at_s >= WINDOW_S:
            self._quickest_before_s, self._quickest_s = self._quickest_s, float("inf")
            self._renewed_at_s = answered_s
        self._quickest_s = min(self._quickest_s, answered_s - given_s)
        return max(asked_s, given_s + min(self._quickest_s, self._quickest_before_s))
