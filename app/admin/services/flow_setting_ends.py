"""Ends what was set for flows for a while only, and tells the audit of it, also of what workers have ended.

What is due stands in the queue Redis, and every worker ends it too, so it ends although no admin process runs. The
audit hears of it from whichever admin process is there, or the next one.
"""

import asyncio
from datetime import UTC, datetime
from hashlib import sha256

import structlog
from bson import ObjectId
from pymongo.errors import PyMongoError

from app.admin.services.flow_settings import audited
from app.audit.entry import PENSTOCK, AuditEntry
from app.audit.log import AuditLog
from app.errors import QueueUnavailable
from app.queue.flow_settings import FlowSettingStore, SettingEnd
from app.web.excerpt import one_line

log = structlog.get_logger()

LOOK_INTERVAL_S = 0.5


class FlowSettingEnds:
    """Looks at what is due, again and again."""

    def __init__(self, store: FlowSettingStore, audit: AuditLog) -> None:
        self._store = store
        self._audit = audit
        self._trouble = False

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            try:
                await self.look()
                self._trouble = False
            except (QueueUnavailable, PyMongoError) as error:
                if not self._trouble:
                    log.warning("flow_settings_not_ended", error=one_line(error))
                self._trouble = True
            await asyncio.sleep(LOOK_INTERVAL_S)

    async def look(self) -> None:
        """End what is due, and tell the audit what has ended. Raises QueueUnavailable, and pymongo's errors."""
        await self._store.end_due()
        while ends := await self._store.ended():
            await self._audit.add_once({_id(end): _entry(end) for end in ends})
            await self._store.forget_ended(ends)


def _id(end: SettingEnd) -> ObjectId:
    """The same for the same end, so that it is in the audit once, whatever happens between the two steps of `look`."""
    seconds = (end.at_ms // 1000).to_bytes(4, "big")
    return ObjectId(seconds + sha256(f"{end.name} {end.version}".encode()).digest()[:8])


def _entry(end: SettingEnd) -> AuditEntry:
    before, after = audited(end.change)
    at = datetime.fromtimestamp(end.at_ms / 1000, UTC)
    return AuditEntry(PENSTOCK, "flow.reverted", end.name, before, after, at)
