"""The history of rules in MongoDB: each version as sync saw it, whoever wrote the rule."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from app.clients import MongoDatabase
from app.rules.store import HISTORY, to_document
from sync.bulk_writes import batches, ignoring_duplicate_keys
from sync.plan import RuleChange, time_of_revision


class History:
    """Records changes. A change that several sync workers record is stored once. Methods raise pymongo's errors."""

    def __init__(self, database: MongoDatabase) -> None:
        self._history = database[HISTORY]

    async def record(self, changes: Iterable[RuleChange]) -> None:
        """Add the changes to the history."""
        for documents in batches([_history_document(change) for change in changes]):
            with ignoring_duplicate_keys():
                await self._history.insert_many(documents, ordered=False)


def _history_document(change: RuleChange) -> dict[str, Any]:
    return {
        "_id": f"{change.rule_id}@{change.revision}",
        "rule_id": change.rule_id,
        "at": datetime.fromtimestamp(time_of_revision(change.revision), UTC),
        "rule": None if change.rule is None else to_document(change.rule),
    }
