"""Where the change stream stands, kept in MongoDB, so that a sync worker goes on where one left off."""

import time
from collections.abc import Mapping
from typing import Any

from app.clients import MongoDatabase

COLLECTION = "sync_state"
ID = "rules"
BUSY_SAVE_S = 1.0
IDLE_SAVE_S = 30.0
"""An idle stream's token moves on too; one that is not kept fresh is lost when the oplog has moved past it."""

Token = Mapping[str, Any]


class ResumeToken:
    """The token up to which everything is published. Raises pymongo's errors."""

    def __init__(self, database: MongoDatabase) -> None:
        self._states = database[COLLECTION]
        self._saved_at_s = 0.0

    async def load(self) -> Token | None:
        """None where there is none."""
        found = await self._states.find_one({"_id": ID})
        return None if found is None else found["token"]

    async def keep(self, token: Token, *, idle: bool) -> None:
        """Save it, if the last time was long enough ago."""
        now = time.monotonic()
        if now - self._saved_at_s >= (IDLE_SAVE_S if idle else BUSY_SAVE_S):
            self._saved_at_s = now
            await self._states.replace_one({"_id": ID}, {"token": token}, upsert=True)

    async def forget(self) -> None:
        """It can't be resumed from: the next stream begins anew, and everything is copied."""
        self._saved_at_s = 0.0
        await self._states.delete_one({"_id": ID})
