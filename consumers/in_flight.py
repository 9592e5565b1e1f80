"""How many jobs a worker may have in flight at once, and how they are shared out among flows."""

import asyncio
from collections import Counter

SHARE = 4


class InFlight:
    """Permits for jobs, from their lease to their outcome.

    No flow holds more than SHARE times what is free, so that some are always left for a flow that has none: dynamic
    thresholds, Choudhury and Hahne 1998. One flow alone gets four fifths of all, two get four ninths each.
    """

    def __init__(self, most: int) -> None:
        self._free = most
        self._held: Counter[str] = Counter()
        self._available = asyncio.Event()
        self._available.set()

    @property
    def free(self) -> int:
        """How many more jobs may be leased now."""
        return self._free

    async def available(self) -> None:
        """Wait until at least one job may be leased."""
        await self._available.wait()

    def holds(self, flow: str) -> bool:
        """Whether a flow has permits."""
        return flow in self._held

    def room(self, flow: str, n: int) -> int:
        """How many of `n` permits the flow could take."""
        held = self._held.get(flow, 0)
        share = (SHARE * (self._free + held)) // (SHARE + 1)
        return min(n, self._free, max(share - held, 0 if held else 1))

    def reserve(self, flow: str, n: int) -> int:
        """Take up to `n` permits for a flow; how many were taken."""
        taken = self.room(flow, n)
        self._free -= taken
        if taken:
            self._held[flow] += taken
        if self._free == 0:
            self._available.clear()
        return taken

    def release(self, flow: str, n: int = 1) -> None:
        """Give permits back."""
        if n == 0:
            return
        self._free += n
        self._held[flow] -= n
        if self._held[flow] <= 0:
            del self._held[flow]
        if self._free > 0:
            self._available.set()
