"""The last good version of each rule, kept in MongoDB: it stays in force while the document is none."""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from bson.int64 import Int64
from pymongo import DeleteOne, UpdateOne
from pymongo.errors import BulkWriteError

from app.clients import MongoDatabase
from app.rules.model import Rule
from app.rules.store import LAST_GOOD, to_document
from sync.plan import Change, content_digest

DUPLICATE_KEY = 11_000
AT_ONCE = 1000


class LastGood:
    """Writes what sync has published. Raises pymongo's errors."""

    def __init__(self, database: MongoDatabase) -> None:
        self._kept = database[LAST_GOOD]
        self._digests: dict[str, str] | None = None

    async def keep(self, changes: Iterable[Change]) -> None:
        """After a change, what is good now."""
        await self._write(list(changes))

    async def keep_copied(self, rules: Iterable[Rule], revision: int) -> list[Change]:
        """Of a full copy, what is new or changed in it."""
        known = await self._known()
        changes = [
            Change(rule.rule_id, revision, rule) for rule in rules if known.get(rule.rule_id) != content_digest(rule)
        ]
        await self._write(changes)
        return changes

    async def drop_others(self, rule_ids: AbstractSet[str], revision: int) -> list[Change]:
        """After a full copy as of `revision`: what is gone from it. What is newer came while it was made."""
        missing = (await self._known()).keys() - rule_ids
        newer = await self._newer(list(missing), revision)
        gone = [Change(rule_id, revision, None) for rule_id in missing - newer]
        await self._write(gone)
        return gone

    async def _newer(self, rule_ids: list[str], revision: int) -> set[str]:
        found: set[str] = set()
        for first in range(0, len(rule_ids), AT_ONCE):
            some = {"_id": {"$in": rule_ids[first : first + AT_ONCE]}, "revision": {"$gte": Int64(revision)}}
            found.update([str(kept["_id"]) async for kept in self._kept.find(some, {"_id": 1})])
        return found

    async def _known(self) -> dict[str, str]:
        if self._digests is None:
            self._digests = {str(d["_id"]): d["digest"] async for d in self._kept.find({}, {"digest": 1})}
        return self._digests

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
