"""The last good version of each rule, kept in MongoDB: it stays in force while the document is none."""

from collections.abc import Iterable, Mapping
from typing import Any

from bson.int64 import Int64
from motor.motor_asyncio import AsyncIOMotorDatabase
from pymongo import DeleteOne, UpdateOne
from pymongo.errors import BulkWriteError

from app.rules.model import Rule
from app.rules.store import LAST_GOOD, to_document
from sync.plan import Change, content_digest

DUPLICATE_KEY = 11_000
AT_ONCE = 1000


class LastGood:
    """Writes what sync has published. Raises pymongo's errors."""

    def __init__(self, database: "AsyncIOMotorDatabase[Any]") -> None:
        self._kept = database[LAST_GOOD]
        self._digests: dict[str, str] | None = None

    async def keep_changes(self, changes: Iterable[Change]) -> None:
        """After a change, what is good now."""
        await self._write(list(changes))

    async def keep_all(self, rules: Mapping[str, Rule], invalid: Iterable[str], revision: int) -> list[Change]:
        """After a full copy: what is new or changed in it; what is gone from it goes. Returns both."""
        if self._digests is None:
            self._digests = {str(d["_id"]): d["digest"] async for d in self._kept.find({}, {"digest": 1})}
        known = self._digests
        changes = [Change(i, revision, rule) for i, rule in rules.items() if known.get(i) != content_digest(rule)]
        changes += [Change(i, revision, None) for i in known.keys() - rules.keys() - set(invalid)]
        await self._write(changes)
        return changes

    async def _write(self, changes: list[Change]) -> None:
        for first in range(0, len(changes), AT_ONCE):
            some = changes[first : first + AT_ONCE]
            try:
                await self._kept.bulk_write([_operation(change) for change in some], ordered=False)
            except BulkWriteError as error:
                # A later revision is there already: the upsert finds nothing older, and the id taken.
                if any(problem["code"] != DUPLICATE_KEY for problem in error.details["writeErrors"]):
                    raise
        digests = self._digests
        if digests is not None:
            for change in changes:
                if change.rule is None:
                    digests.pop(change.rule_id, None)
                else:
                    digests[change.rule_id] = content_digest(change.rule)


def _operation(change: Change) -> UpdateOne | DeleteOne:
    older = {"_id": change.rule_id, "revision": {"$lt": Int64(change.revision)}}
    if change.rule is None:
        return DeleteOne(older)
    fields = {
        "revision": Int64(change.revision),
        "digest": content_digest(change.rule),
        "rule": to_document(change.rule),
    }
    return UpdateOne(older, {"$set": fields}, upsert=True)
