"""Room on the queue's disk: a Redis whose disk is full exits, so deferring stops before."""

import asyncio
import shutil
from pathlib import Path

import structlog

log = structlog.get_logger()

POLL_INTERVAL_S = 0.5


class Disk:
    """The disk that holds the queue's files, where it is this machine's; otherwise there is always room."""

    def __init__(self, folder: Path | None, least_free_bytes: int) -> None:
        self._folder = folder
        self._least = least_free_bytes
        self.has_room = True

    async def run(self) -> None:
        """Look again and again; runs until cancelled."""
        while self._folder is not None:
            has_room = shutil.disk_usage(self._folder).free >= self._least
            if has_room != self.has_room:
                log.warning("queue_disk", has_room=has_room, folder=str(self._folder))
            self.has_room = has_room
            await asyncio.sleep(POLL_INTERVAL_S)
