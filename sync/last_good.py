"""The last valid version of each rule, in MongoDB. It stays in force while the rule's document is invalid."""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from bson.int64 import Int64
from pymongo import DeleteOne, UpdateOne

from app.clients import MongoDatabase
from app.rules.model import Rule
from app.rules.store import LAST_GOOD, to_document
from sync.bulk_writes import batches, ignoring_duplicate_keys
from sync.plan import RuleChange, document_digest


class LastGood:
    """Stores the versions that sync has published. Methods raise pymongo's errors."""

    def __init__(self, database: MongoDatabase) -> None:
        self._versions = database[LAST_GOOD]
        self._digests: dict[str, str] | None = None

    async def store(self, changes: Iterable[RuleChange]) -> None:
        """Store the rules of these changes, and remove the rules that were deleted."""
        await self._write(list(changes))

    async def store_copied(self, rules: Iterable[Rule], revision: int) -> list[RuleChange]:
        """Store those rules of a full copy that are new or changed, and return these."""
        known = await self._known_digests()
        changes = [
            RuleChange(rule.rule_id, revision, rule)
            for rule in rules
            if known.get(rule.rule_id) != document_digest(rule)
        ]
        await self._write(changes)
        return changes

    async def remove_others(self, rule_ids: AbstractSet[str], revision: int) -> list[RuleChange]:
        """After a full copy as of `revision`, remove the rules that it did not contain, and return their deletions.

        A version that is newer than the copy was stored while the copy was made, and stays.
        """
        missing = (await self._known_digests()).keys() - rule_ids
        newer = await self._newer_than(revision, list(missing))
        deletions = [RuleChange(rule_id, revision, None) for rule_id in missing - newer]
        await self._write(deletions)
        return deletions

    async def _newer_than(self, revision: int, rule_ids: list[str]) -> set[str]:
        found: set[str] = set()
        for batch in batches(rule_ids):
            query = {"_id": {"$in": batch}, "revision": {"$gte": Int64(revision)}}
            found.update([str(version["_id"]) async for version in self._versions.find(query, {"_id": 1})])
        return found

    async def _known_digests(self) -> dict[str, str]:
        if self._digests is None:
            self._digests = {str(v["_id"]): v["digest"] async for v in self._versions.find({}, {"digest": 1})}
        return self._digests

    async def _write(self, changes: list[RuleChange]) -> None:
        for batch in batches(changes):
            # Where a later revision is stored already, the upsert finds no older one and its key is a duplicate.
            with ignoring_duplicate_keys():
                await self._versions.bulk_write([_operation(change) for change in batch], ordered=False)
        if self._digests is not None:
            for change in changes:
                if change.rule is None:
                    self._digests.pop(change.rule_id, None)
                else:
                    self._digests[change.rule_id] = document_digest(change.rule)


def _operation(change: RuleChange) -> UpdateOne | DeleteOne:
    older = {"_id": change.rule_id, "revision": {"$lt": Int64(change.revision)}}
    if change.rule is None:
        return DeleteOne(older)
    fields = {
        "revision": Int64(change.revision),
        "digest": document_digest(change.rule),
        "rule": to_document(change.rule),
    }
    return UpdateOne(older, {"$set": fields}, upsert=True)
