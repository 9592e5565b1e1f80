"""Counts the rules that operators have paused."""

from app.clients import MongoDatabase
from app.rules.store import COLLECTION, mongodb_errors

MAX_COUNTED = 10_000


class PausedRules:
    """The paused rules in MongoDB, which an index of nothing else finds."""

    def __init__(self, database: MongoDatabase) -> None:
        self._rules = database[COLLECTION]

    async def count(self) -> int:
        """How many rules are paused, MAX_COUNTED at most. Raises RulesUnavailable."""
        with mongodb_errors():
            return await self._rules.count_documents({"paused": True}, limit=MAX_COUNTED)
