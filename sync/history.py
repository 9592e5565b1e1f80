"""The history of rules in MongoDB: each version as sync saw it, whoever wrote the rule."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from bson.int64 import Int64
from pymongo import DeleteMany

from app.clients import MongoDatabase
from app.rules.store import HISTORY, history_id, to_document
from sync.bulk_writes import batches, ignoring_duplicate_keys
from sync.plan import time_of_revision
from sync.versions import RuleVersion


class History:
    """Records versions, and keeps the latest `max_versions` of each rule. Methods raise pymongo's errors.

    A version that several sync workers record is stored once.
    """

    def __init__(self, database: MongoDatabase, max_versions: int) -> None:
        self._history = database[HISTORY]
        self._max_versions = max_versions

    async def record(self, versions: Sequence[RuleVersion]) -> None:
        """Add the versions to the history."""
        for batch in batches(versions):
            with ignoring_duplicate_keys():
                await self._history.insert_many([_entry(version) for version in batch], ordered=False)
            await self._remove_oldest(batch)

    async def _remove_oldest(self, versions: Sequence[RuleVersion]) -> None:
        latest = {version.rule_id: version.version for version in versions}
        old = [
            DeleteMany({"rule_id": rule_id, "version": {"$lte": version - self._max_versions}})
            for rule_id, version in latest.items()
            if version > self._max_versions
        ]
        if old:
            await self._history.bulk_write(old, ordered=False)


def _entry(version: RuleVersion) -> dict[str, Any]:
    deleted = "" if version.rule else "!deleted"
    return {
        "_id": history_id(version.rule_id, version.version) + deleted,
        "rule_id": version.rule_id,
        "version": Int64(version.version),
        "revision": Int64(version.revision),
        "at": datetime.fromtimestamp(time_of_revision(version.revision), UTC),
        "rule": None if version.rule is None else to_document(version.rule),
    }
