"""The last valid version of each rule, in MongoDB. It stays in force while the rule's document is invalid."""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet

from bson.int64 import Int64
from pymongo import UpdateOne

from app.clients import MongoDatabase
from app.rules.digest import content_digest
from app.rules.model import Rule
from app.rules.store import COLLECTION, RECORDS, to_document
from sync.bulk_writes import ignoring_duplicate_keys
from sync.plan import RuleChange
from sync.versions import Recorded, RuleVersion, recorded_after, version_of


class LastGood:
    """Records the versions that sync has published. Methods raise pymongo's errors."""

    def __init__(self, database: MongoDatabase) -> None:
        self._records = database[RECORDS]
        self._rules = database[COLLECTION]
        self._known: dict[str, tuple[int, str]] | None = None

    async def new_versions(self, changes: Sequence[RuleChange]) -> list[RuleVersion]:
        """Return which of these changes, in their order, are new versions or deletions."""
        recorded = await self._recorded([change.rule_id for change in changes])
        versions: list[RuleVersion] = []
        for change in changes:
            before = recorded.get(change.rule_id, Recorded())
            version = version_of(change, before)
            if version is not None:
                versions.append(version)
                recorded[change.rule_id] = recorded_after(version, before)
        return versions

    async def differing(self, rules: Iterable[Rule], revision: int) -> list[RuleChange]:
        """Return the changes of those rules of a full copy that differ from what is recorded."""
        known = await self._known_versions()
        differing = (rule for rule in rules if known.get(rule.rule_id) != (rule.version, content_digest(rule)))
        return [RuleChange(rule.rule_id, revision, rule) for rule in differing]

    async def missing(self, rule_ids: AbstractSet[str], revision: int) -> list[RuleChange]:
        """Return the deletions of the rules that a full copy as of `revision` did not contain.

        A version that is newer than the copy was recorded while the copy was made, and stays.
        """
        return [RuleChange(rule_id, revision, None) for rule_id in (await self._known_versions()).keys() - rule_ids]

    async def store(self, versions: Sequence[RuleVersion]) -> None:
        """Record these versions."""
        if not versions:
            return
        # Where a later revision is recorded already, the upsert finds no older one and its key is a duplicate.
        with ignoring_duplicate_keys():
            await self._records.bulk_write([_record(version) for version in versions], ordered=False)
        await self._mark_direct_writes(versions)
        if self._known is not None:
            for version in versions:
                if version.digest is None:
                    self._known.pop(version.rule_id, None)
                else:
                    self._known[version.rule_id] = (version.version, version.digest)

    async def _recorded(self, rule_ids: list[str]) -> dict[str, Recorded]:
        fields = {"version": 1, "reserved": 1, "revision": 1, "digest": 1}
        found = self._records.find({"_id": {"$in": rule_ids}}, fields)
        return {str(record["_id"]): Recorded.of(record) async for record in found}

    async def _mark_direct_writes(self, versions: Sequence[RuleVersion]) -> None:
        """Give documents that were written past the admin API the versions that their contents are recorded as."""
        marks = [
            UpdateOne(
                {"_id": version.rule_id, "version": {"$in": [version.written_version, None]}},
                {"$set": {"version": version.version}},
            )
            for version in versions
            if version.rule is not None and version.written_version != version.version
        ]
        if marks:
            await self._rules.bulk_write(marks, ordered=False)

    async def _known_versions(self) -> dict[str, tuple[int, str]]:
        if self._known is None:
            found = self._records.find({"digest": {"$ne": None}}, {"version": 1, "digest": 1})
            records = {str(record["_id"]): Recorded.of(record) async for record in found}
            self._known = {rule_id: (one.version, one.digest) for rule_id, one in records.items() if one.digest}
        return self._known


def _record(version: RuleVersion) -> UpdateOne:
    older = {"_id": version.rule_id, "revision": {"$not": {"$gte": Int64(version.revision)}}}
    fields = {
        "version": Int64(version.version),
        "revision": Int64(version.revision),
        "digest": version.digest,
        "rule": None if version.rule is None else to_document(version.rule),
    }
    return UpdateOne(older, {"$set": fields}, upsert=True)
