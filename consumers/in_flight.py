"""Limits how many jobs a worker has in flight at once, and shares this limit among the flows."""

import asyncio
from collections import Counter
from collections.abc import Iterable

SHARE = 4
"""A flow holds at most this many times the number of free permits."""


class InFlight:
    """Permits for jobs; a job holds one from its lease to its outcome.

    One flow never takes all of a worker's capacity: it holds at most SHARE times as many permits as are free, so that
    some are always left for a flow that holds none ("Dynamic Queue Length Thresholds", Choudhury and Hahne, 1998). A
    single flow gets four fifths of the permits, two flows get four ninths each.
    """

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._held: Counter[str] = Counter()
        self._available = asyncio.Event()
        self._available.set()

    @property
    def free(self) -> int:
        """How many more jobs may be leased now."""
        return self._free

    async def wait_available(self) -> None:
        """Wait until at least one job may be leased."""
        await self._available.wait()

    def holds(self, flow: str) -> bool:
        """Whether a flow holds any permits."""
        return flow in self._held

    @property
    def flows(self) -> Iterable[str]:
        """The flows that hold permits: at most as many as there are permits."""
        return self._held

    def available_to(self, flow: str, n: int) -> int:
        """How many of `n` permits a flow could take now."""
        held = self._held.get(flow, 0)
        share = (SHARE * (self._free + held)) // (SHARE + 1)
        return min(n, self._free, max(share - held, 0 if held else 1))

    def reserve(self, flow: str, n: int) -> int:
        """Take up to `n` permits for a flow and return how many were taken."""
        taken = self.available_to(flow, n)
        self._free -= taken
        if taken:
            self._held[flow] += taken
        if self._free == 0:
            self._available.clear()
        return taken

    def release(self, flow: str, n: int = 1) -> None:
        """Return `n` permits of a flow."""
        if n == 0:
            return
        self._free += n
        self._held[flow] -= n
        if self._held[flow] <= 0:
            del self._held[flow]
        if self._free > 0:
            self._available.set()
