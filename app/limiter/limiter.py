"""The limiter's interface: slots of several quotas at once, in one round trip."""

from collections.abc import Sequence
from typing import Protocol

from app.limiter.policy import Charge, Slots, TurnRequest, Verdict


class Limiter(Protocol):
    """What edges and workers call. All methods raise CountersUnavailable if the counters can't be reached."""

    async def decide(self, charges: tuple[Charge, ...], place: str = "") -> Verdict:
        """Decide a live request: spends from every quota, or from none if one refuses.

        Where a charge is for a place among the requests in flight, `place` is the beginning of its name, and 1 follows.
        Implementations may cache by the identity of charges, so pass the same tuple for requests of the same kind.
        """
        ...

    async def inspect(self, charges: Sequence[Charge]) -> Verdict:
        """What `decide` would answer; spends nothing."""
        ...

    async def acquire(
        self,
        charges: Sequence[Charge],
        n: int,
        horizon_us: int,
        lead_us: int,
        marker: str,
        marker_at_us: int,
        marker_ttl_s: float,
        place: str = "",
    ) -> Slots:
        """For a worker: up to `n` slots that all quotas grant, from `lead_us` to `horizon_us` ahead.

        Sets the backlog marker with this key, unless it is empty, for jobs that were seen at `marker_at_us`. The
        names of places begin with `place`, and the numbers of their slots from 1 on follow.
        """
        ...

    async def acquire_turns(
        self,
        turns: Sequence[TurnRequest],
        most: int,
        horizon_us: int,
        lead_us: int,
        markers_at_us: int,
        place: str = "",
    ) -> list[Slots]:
        """For a worker: slots for flows that share a counter, one for each in every round, up to `most` together.

        The answers are of those that came up before the shared counter had none left, in the order of the turns. The
        names of places begin with `place`; the number of the turn from 1 on, a dot, and that of the slot follow.
        """
        ...

    async def give_back(self, charges: Sequence[Charge], slots: Slots) -> bool:
        """For a worker: give back the single slot of an answer, because nothing was sent at it.

        A quota takes it back if it has granted nothing since; one that has units left keeps it. False if none did.
        """
        ...

    async def now_us(self) -> int:
        """The time in microseconds by the counters' clock."""
        ...

    async def set_backlog_marker(self, marker: str, at_us: int, ttl_s: float, *, renewed: bool = True) -> None:
        """Set the backlog marker with this key for jobs that were seen waiting at `at_us`, by the queue's clock.

        `renewed`: each live request that it refuses renews it.
        """
        ...

    async def clear_backlog_markers(self, markers: Sequence[tuple[str, int]]) -> None:
        """Delete backlog markers, except those that were set for jobs that were seen later than `at_us`.

        `markers`: each marker with its `at_us`, 128 at most.
        """
        ...
