"""How many jobs a worker may have in flight at once."""

import asyncio


class InFlight:
    """Permits for jobs, from their lease to their outcome."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._available = asyncio.Event()
        self._available.set()

    @property
    def free(self) -> int:
        """How many more jobs may be leased now."""
        return self._free

    async def available(self) -> None:
        """Wait until at least one job may be leased."""
        await self._available.wait()

    def reserve(self, n: int) -> int:
        """Take up to `n` permits; how many were taken."""
        taken = min(n, self._free)
        self._free -= taken
        if self._free == 0:
            self._available.clear()
        return taken

    def release(self, n: int = 1) -> None:
        """Give permits back."""
        self._free += n
        if self._free > 0:
            self._available.set()
