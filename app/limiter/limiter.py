"""The limiter: slots of several quotas at once, in one round trip."""

from collections.abc import Sequence
from typing import Protocol

from app.limiter.policy import Charge, Slots, Verdict


class Limiter(Protocol):
    """What edges and workers ask. Raises CountersUnavailable where the counters can't be reached."""

    async def decide(self, charges: Sequence[Charge]) -> Verdict:
        """A live request: spends from every quota, or from none where one refuses."""
        ...

    async def inspect(self, charges: Sequence[Charge]) -> Verdict:
        """What `decide` would answer; spends nothing."""
        ...

    async def acquire(self, charges: Sequence[Charge], n: int, horizon_us: int, lead_us: int, marker: str) -> Slots:
        """A worker: up to `n` slots of all quotas, from `lead_us` from now up to `horizon_us` ahead."""
        ...

    async def mark_backlog(self, counter: str, marker: str, ttl_s: float) -> None:
        """Say that a flow has jobs waiting."""
        ...
