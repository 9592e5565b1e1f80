"""Converts times of the counters' clock, in which slots are granted, to this process's monotonic clock."""

WINDOW_S = 10.0
"""How long the fastest reply is used, once to twice: clocks drift apart by at most a millisecond in this time."""


class CountersClock:
    """Estimates when a reply was made, as a time of `time.monotonic`, from the fastest recent replies.

    Taking the arrival of each reply for the time at which it was made would shift the slots of a late reply, and the
    slots of the next reply, which is not late, would follow them too early. Using the sample with the lowest delay is
    the clock filter of NTP (RFC 5905, section 10).
    """

    def __init__(self) -> None:
        self._fastest_s = self._previous_fastest_s = float("inf")
        self._renewed_at_s = float("-inf")

    def to_monotonic_s(self, asked_s: float, given_us: int, answered_s: float) -> float:
        """Return when a reply was made that says `given_us`, given when it was requested and when it arrived here.

        The estimate always lies between these two, even if the counters' clock jumps, and is never too early.
        """
        given_s = given_us / 1e6
        if answered_s - self._renewed_at_s >= WINDOW_S:
            self._previous_fastest_s, self._fastest_s = self._fastest_s, float("inf")
            self._renewed_at_s = answered_s
        self._fastest_s = min(self._fastest_s, answered_s - given_s)
        return max(asked_s, given_s + min(self._fastest_s, self._previous_fastest_s))
