"""The resume token of the change stream, in MongoDB: where the next sync worker continues."""

import time
from collections.abc import Mapping
from typing import Any

from app.clients import MongoDatabase

COLLECTION = "sync_state"
ID = "rules"
BUSY_SAVE_INTERVAL_S = 1.0
IDLE_SAVE_INTERVAL_S = 30.0
"""The token of an idle stream advances too. A token that is not refreshed is lost once the oplog has moved past it."""

Token = Mapping[str, Any]


class ResumeToken:
    """The token up to which everything is published. Methods raise pymongo's errors."""

    def __init__(self, database: MongoDatabase) -> None:
        self._tokens = database[COLLECTION]
        self._saved_at_s = 0.0

    async def load(self) -> Token | None:
        """Return the saved token, or None if there is none."""
        token = (await self._tokens.find_one({"_id": ID}) or {}).get("token")
        return token if isinstance(token, dict) else None

    async def save_at_intervals(self, token: Token, *, idle: bool) -> None:
        """Save the token, unless one was saved less than the interval ago."""
        now = time.monotonic()
        if now - self._saved_at_s >= (IDLE_SAVE_INTERVAL_S if idle else BUSY_SAVE_INTERVAL_S):
            self._saved_at_s = now
            await self._tokens.replace_one({"_id": ID}, {"token": token}, upsert=True)

    async def delete(self) -> None:
        """Delete a token that cannot be resumed from, so that the next stream starts anew with a full copy."""
        self._saved_at_s = 0.0
        await self._tokens.delete_one({"_id": ID})
