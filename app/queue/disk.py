"""Watches the free space of the queue's disk. A Redis whose disk is full exits, so deferring stops before that."""

import asyncio
import shutil
from pathlib import Path

import structlog

log = structlog.get_logger()

POLL_INTERVAL_S = 0.5


class Disk:
    """The disk that holds the files of the queue Redis.

    Without a folder, because the queue Redis is on another machine, `has_room` is always true.
    """

    def __init__(self, folder: Path | None, min_free_bytes: int) -> None:
        self._folder = folder
        self._min_free_bytes = min_free_bytes
        self.has_room = True

    async def run(self) -> None:
        """Keep `has_room` current until cancelled."""
        while self._folder is not None:
            has_room = shutil.disk_usage(self._folder).free >= self._min_free_bytes
            if has_room != self.has_room:
                log.warning("queue_disk", has_room=has_room, folder=str(self._folder))
            self.has_room = has_room
            await asyncio.sleep(POLL_INTERVAL_S)
