"""The lead time: how long before its slot a job must be requested, so that its lease arrives in time."""

SAFETY_FACTOR = 2.0
DECAY = 0.95
MAX_LEAD_US = 1_000_000


class LeadTime:
    """Estimates the time from the grant of a slot to the lease of its job: a peak detector with slow decay.

    A nearer slot would be missed; with a slow disk, every slot would be.
    """

    def __init__(self, min_us: int, horizon_us: int) -> None:
        self._min_us = min_us
        self._horizon_us = horizon_us
        self._us = float(min_us)

    def observe(self, took_us: float) -> None:
        """Record how long after the grant of its slots a lease arrived."""
        self._us = min(MAX_LEAD_US, max(self._min_us, SAFETY_FACTOR * took_us, DECAY * self._us))

    @property
    def slot_us(self) -> int:
        """How far in the future a slot must be, at least."""
        return int(self._us)

    @property
    def horizon_us(self) -> int:
        """How far in the future a slot may be, at most; always far enough for some slots."""
        return max(self._horizon_us, 3 * self.slot_us)

    @property
    def request_us(self) -> int:
        """How long before its slot the next job is requested, so that a fast flow has no gap."""
        return max(self._horizon_us // 2, 2 * self.slot_us)
