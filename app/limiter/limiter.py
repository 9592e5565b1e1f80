"""The limiter: slots of several quotas at once, in one round trip."""

from collections.abc import Sequence
from typing import Protocol

from app.limiter.policy import Charge, Slots, Verdict


class Limiter(Protocol):
    """What edges and workers ask. Raises CountersUnavailable where the counters can't be reached."""

    async def decide(self, charges: tuple[Charge, ...]) -> Verdict:
        """A live request: spends from every quota, or from none where one refuses.

        The same charges, as an object, for the like of a request are written once.
        """
        ...

    async def inspect(self, charges: Sequence[Charge]) -> Verdict:
        """What `decide` would answer; spends nothing."""
        ...

    async def acquire(
        self, charges: Sequence[Charge], n: int, horizon_us: int, lead_us: int, marker: str, marker_ttl_s: float
    ) -> Slots:
        """A worker: up to `n` slots that all quotas grant, from `lead_us` to `horizon_us` ahead.

        Sets the first quota's backlog marker to `marker`, unless that is empty.
        """
        ...

    async def now_us(self) -> int:
        """What the counters' clock says."""
        ...

    async def set_backlog_marker(self, counter: str, marker: str, ttl_s: float) -> None:
        """Say that the flow beside this counter has jobs waiting."""
        ...

    async def clear_backlog_marker(self, counter: str, marker: str, ttl_s: float) -> None:
        """Take the backlog marker away, if it is still this one."""
        ...
