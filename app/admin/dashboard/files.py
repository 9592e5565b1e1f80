"""The built dashboard that is there now: a new build is noticed while the process runs."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from app.admin.dashboard.build_state import read_state
from app.admin.dashboard.built_files import INDEX, BuiltFiles, read_built
from app.admin.dashboard.waiting_page import waiting_page

log = structlog.get_logger()

BUILT = Path(__file__).parent / "built"
"""Where the build writes its files, and where a wheel carries them."""

LOOK_INTERVAL_S = 1.0


class DashboardFiles:
    """Reads the files of a folder when they are first asked for, and again after each build."""

    def __init__(self, folder: Path, base_path: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self.base_path = base_path
        self._clock = clock
        self._looking = asyncio.Lock()
        self._looked_at_s = -LOOK_INTERVAL_S
        self._version: tuple[int, ...] | None = None
        self._built: BuiltFiles | None = None

    async def current(self) -> BuiltFiles | None:
        """Return the files as of a second ago at most; None where the dashboard was never built."""
        async with self._looking:
            if self._clock() - self._looked_at_s >= LOOK_INTERVAL_S:
                self._looked_at_s = self._clock()
                await asyncio.to_thread(self._look)
        return self._built

    async def waiting_page(self) -> str:
        """Return the page to show while there are no files."""
        state = await asyncio.to_thread(read_state, self._folder.parent)
        return await asyncio.to_thread(waiting_page, state, self.base_path)

    def _look(self) -> None:
        """Read the files if they are not those that were read last. A build that is half written is read later."""
        try:
            found = (self._folder / INDEX).stat()
            version = (found.st_mtime_ns, found.st_ino, found.st_size)
            if version != self._version:
                self._built = read_built(self._folder, self.base_path)
                self._version = version
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            log.warning("dashboard_not_read", folder=str(self._folder), error=str(error))
