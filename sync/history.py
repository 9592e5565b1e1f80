"""The history of rules, whoever changed them: each version as sync saw it, in MongoDB."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from pymongo.errors import BulkWriteError

from app.clients import MongoDatabase
from app.rules.store import HISTORY, to_document
from sync.plan import Change, time_of_revision

DUPLICATE_KEY = 11_000
AT_ONCE = 1000


class History:
    """Several sync workers may record the same change: it stands there once. Raises pymongo's errors."""

    def __init__(self, database: MongoDatabase) -> None:
        self._history = database[HISTORY]

    async def record(self, changes: Iterable[Change]) -> None:
        """Add what changed."""
        documents = [_document(change) for change in changes]
        for first in range(0, len(documents), AT_ONCE):
            try:
                await self._history.insert_many(documents[first : first + AT_ONCE], ordered=False)
            except BulkWriteError as error:
                if any(problem["code"] != DUPLICATE_KEY for problem in error.details["writeErrors"]):
                    raise


def _document(change: Change) -> dict[str, Any]:
    return {
        "_id": f"{change.rule_id}@{change.revision}",
        "rule_id": change.rule_id,
        "at": datetime.fromtimestamp(time_of_revision(change.revision), UTC),
        "rule": None if change.rule is None else to_document(change.rule),
    }
