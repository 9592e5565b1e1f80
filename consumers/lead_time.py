"""How far ahead of its slot a job must be asked for: longer where leasing takes longer."""

SAFETY = 2.0
DECAY = 0.95
LONGEST_US = 1_000_000


class LeadTime:
    """Follows the time from a slot's grant to its job's lease, quickly up and slowly down.

    A slot that lies nearer than that would be missed; on a slow disk every slot would.
    """

    def __init__(self, least_us: int, horizon_us: int) -> None:
        self._least_us = least_us
        self._horizon_us = horizon_us
        self._us = float(least_us)

    def observe(self, took_us: float) -> None:
        """A lease came so long after its slots."""
        self._us = min(LONGEST_US, max(self._least_us, SAFETY * took_us, DECAY * self._us))

    @property
    def slot_us(self) -> int:
        """The nearest that a slot may lie."""
        return int(self._us)

    @property
    def horizon_us(self) -> int:
        """The farthest that a slot may lie: always room for some."""
        return max(self._horizon_us, 3 * self.slot_us)

    @property
    def ask_us(self) -> int:
        """How long before its slot the next job is asked for, so that a fast flow has no gap."""
        return max(self._horizon_us // 2, 2 * self.slot_us)
