"""The store of rules in MongoDB, which the admin API writes and sync reads."""

from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pymongo.errors import CollectionInvalid, DuplicateKeyError, OperationFailure, PyMongoError
from pymongo.write_concern import WriteConcern

from app.audit.entry import Actor, AuditEntry
from app.audit.log import AuditLog
from app.clients import MongoDatabase, MongoSession
from app.errors import Conflict, InvalidRule, NotFound, RulesUnavailable
from app.rules.bounds import MAX_VERSION
from app.rules.documents import PROJECTION, RAW, RuleDocument, read_document
from app.rules.listing_order import SORTED_BY
from app.rules.model import MAX_NAME_LENGTH, Rule, parse_rule, to_json
from app.rules.schema import mongodb_schema
from app.rules.transactions import in_transaction
from app.web.excerpt import one_line

COLLECTION = "rules"
RECORDS = "rules_good"
"""Collection: for each rule the last valid version, and the highest version that was ever given out. Written by sync,
except for `reserved`. The record of a deleted rule stays, so that its versions go on when the rule is made anew.
"""

HISTORY = "rules_history"
"""Collection: every version of each rule as sync saw it."""

HISTORY_DAYS = 365
AUDIT_DAYS = 365
MAX_ATTEMPTS = 20
"""How often a write is tried again because somebody else wrote the same rule meanwhile."""

TIMEOUT_S = 5.0
"""How long the write of one rule is tried again while others write the same rule, or MongoDB elects a new primary."""

_INDEX_NOT_FOUND, _INDEX_OPTIONS_CONFLICT = 27, 85


@dataclass(frozen=True, slots=True)
class StoredRule:
    """What is stored under the id of a rule, if anything, and the highest version that the rule ever had."""

    rule_id: str
    document: RuleDocument | None
    last_version: int

    @property
    def etag(self) -> str | None:
        """The entity tag of the document; None if there is none."""
        return self.document.etag if self.document else None


class RuleStore:
    """Reads and writes rules. Every method raises RulesUnavailable if MongoDB can't be reached."""

    def __init__(self, database: MongoDatabase) -> None:
        self._database = database
        self._rules = database.get_collection(COLLECTION, write_concern=WriteConcern("majority"))
        self._documents = database.get_collection(COLLECTION, codec_options=RAW)
        self._records = database.get_collection(RECORDS, write_concern=WriteConcern("majority"))
        self._history = database[HISTORY]
        self._audit = AuditLog(database)

    async def setup(self, history_days: int = HISTORY_DAYS, audit_days: int = AUDIT_DAYS) -> None:
        """Create the collections if they do not exist, and set the validator of rules and all indexes."""
        with mongodb_errors():
            for name in (COLLECTION, RECORDS, HISTORY):
                with suppress(CollectionInvalid):
                    await self._database.create_collection(name)
            await self._database.command("collMod", COLLECTION, validator=mongodb_schema(), validationLevel="moderate")
            await self._index_rules()
            await self._history.create_index([("rule_id", 1), ("version", -1), ("revision", -1)])
            await self._keep_history_for(history_days * 86_400)
            await self._audit.setup(audit_days)

    async def _index_rules(self) -> None:
        """Index the fields one by one: MongoDB cannot index two lists together, as composite keys have them."""
        try:
            await self._rules.drop_index("key_type_1_key_value_1")
        except OperationFailure as error:
            if error.code != _INDEX_NOT_FOUND:
                raise
        for field in ("key_type", "key_value"):
            await self._rules.create_index(field)
        for field in SORTED_BY:
            await self._rules.create_index([(field, 1), ("_id", 1)])
            await self._rules.create_index([(field, -1), ("_id", 1)])
            await self._rules.create_index(f"{field}.0", sparse=True)  # finds lists, which no rule has there
        await self._rules.create_index("temporary.until", sparse=True)
        await self._rules.create_index("paused", partialFilterExpression={"paused": True})

    async def _keep_history_for(self, seconds: int) -> None:
        try:
            await self._history.create_index("at", expireAfterSeconds=seconds)
        except OperationFailure as error:
            if error.code != _INDEX_OPTIONS_CONFLICT:
                raise
            index = {"keyPattern": {"at": 1}, "expireAfterSeconds": seconds}
            await self._database.command("collMod", HISTORY, index=index)

    async def all(self) -> tuple[list[Rule], list[RuleDocument]]:
        """All valid rules in the order of their ids, and the documents that are not valid rules."""
        rules, invalid = [], []
        with mongodb_errors():
            async for found in self._documents.find({}, PROJECTION).sort("_id"):
                document = read_document(found)
                if document is not None and document.rule is not None:
                    rules.append(document.rule)
                elif document is not None:
                    invalid.append(document)
        return rules, invalid

    async def get(self, rule_id: str) -> Rule:
        """One rule; raises NotFound, or InvalidRule if its document is invalid."""
        document = await self._find(rule_id)
        if document is None:
            raise NotFound(f"There is no rule {rule_id!r}.")
        if document.rule is None:
            raise InvalidRule(document.problem)
        return document.rule

    async def find(self, rule_id: str) -> StoredRule:
        """What is stored under this id, to be replaced or removed if it is still the same then."""
        # In this order: sync records the version of what it sees, and never forgets a version.
        document = await self._find(rule_id)
        with mongodb_errors():
            record = await self._records.find_one({"_id": rule_id}, {"version": 1, "reserved": 1})
        return StoredRule(rule_id, document, last_version(document, record))

    async def last_good(self, rule_ids: Iterable[str]) -> dict[str, Rule]:
        """The versions of these rules that are in force although their documents are invalid."""
        found: dict[str, Rule] = {}
        with mongodb_errors():
            async for record in self._records.find({"_id": {"$in": list(rule_ids)}, "rule": {"$ne": None}}):
                with suppress(InvalidRule):  # the model has become stricter since it was stored
                    found[record["_id"]] = parse_rule(record["rule"])
        return found

    async def history(self, rule_id: str, limit: int) -> list[tuple[datetime, Rule | None]]:
        """The versions of a rule, newest first, with the time of each; None where the rule was deleted."""
        found: list[tuple[datetime, Rule | None]] = []
        newest_first = [("version", -1), ("revision", -1)]
        with mongodb_errors():
            async for entry in self._history.find({"rule_id": rule_id}).sort(newest_first).limit(limit):
                with suppress(InvalidRule):  # the model has become stricter since it was stored
                    found.append((entry["at"], parse_rule(entry["rule"]) if entry["rule"] else None))
        return found

    async def version(self, rule_id: str, version: int) -> Rule:
        """One version of a rule from the history. Raises NotFound, or InvalidRule if the model has become stricter."""
        with mongodb_errors():
            entry = await self._history.find_one({"_id": history_id(rule_id, version)})
        if entry is None:
            raise NotFound(f"There is no version {version} of the rule {rule_id!r} in the history.")
        return parse_rule(entry["rule"])

    async def create(self, rule: Rule, by: Actor) -> Rule:
        """Insert a new rule; raises Conflict if the id is taken."""
        stored = await self.find(rule.rule_id)
        new = None if stored.document else await self.replace(stored, rule, by)
        if new is None:
            raise Conflict(f"There is a rule {rule.rule_id!r} already.")
        return new

    async def put(self, rule: Rule, by: Actor) -> Rule:
        """Write a rule, new or not. Raises Conflict if others keep writing the same rule."""
        for _ in range(MAX_ATTEMPTS):
            new = await self.replace(await self.find(rule.rule_id), rule, by)
            if new is not None:
                return new
        raise changed_too_often(rule.rule_id)

    async def replace(self, stored: StoredRule, rule: Rule, by: Actor, action: str | None = None) -> Rule | None:
        """Write a rule in the place of what was found. Return None if something else is stored by now.

        The audit names `by` and the action: by default whether the rule was created or changed.
        """
        new = stamped(rule, stored.last_version + 1, by.name)
        entry = audit_entry(stored.document, new, by, action)

        async def write(session: MongoSession) -> None:
            # The rule is written last: others wait for it until this transaction ends, if only by its time limit.
            await self._audit.add([entry], session)
            await self._reserve(new.rule_id, new.version, session)
            await self._write(stored.document, to_document(new), session)

        return new if await self._committed(write) else None

    async def _write(self, old: RuleDocument | None, new: dict[str, Any], session: MongoSession) -> None:
        """Raises _ChangedMeanwhile, and DuplicateKeyError if another wrote the rule first."""
        if old is None:
            await self._rules.insert_one(new, session=session)
        elif not (await self._rules.replace_one(old.unchanged, new, session=session)).matched_count:
            raise _ChangedMeanwhile

    async def remove(self, stored: StoredRule, by: Actor) -> bool:
        """Delete what was found. Return whether it was still there and the same. Raises NotFound."""
        document = stored.document
        if document is None:
            raise NotFound(f"There is no rule {one_line(stored.rule_id)!r}.")
        entry = audit_entry(document, None, by)

        async def delete(session: MongoSession) -> None:
            await self._audit.add([entry], session)
            if document.key.rule_id is not None:
                await self._reserve(stored.rule_id, stored.last_version, session)
            if not (await self._rules.delete_one(document.unchanged, session=session)).deleted_count:
                raise _ChangedMeanwhile

        return await self._committed(delete)

    async def _committed(self, write: Callable[[MongoSession], Coroutine[Any, Any, None]]) -> bool:
        """Do what `write` does, in one transaction. Return whether the rule was still what had been found."""

        async def attempt(session: MongoSession) -> None:
            try:
                await write(session)
            except DuplicateKeyError as error:
                raise _ChangedMeanwhile from error

        try:
            with mongodb_errors():
                await in_transaction(self._database, attempt, TIMEOUT_S)
        except _ChangedMeanwhile:
            return False
        return True

    async def _reserve(self, rule_id: str, version: int, session: MongoSession) -> None:
        """Remember that a version was given out, even if sync never sees it because its rule is soon deleted."""
        await self._records.update_one({"_id": rule_id}, {"$max": {"reserved": version}}, upsert=True, session=session)

    async def _find(self, rule_id: str) -> RuleDocument | None:
        with mongodb_errors():
            found = await self._documents.find_one({"_id": rule_id}, PROJECTION)
        return None if found is None else read_document(found)


class _ChangedMeanwhile(Exception):
    """What is stored is no longer what was found. The transaction is aborted."""


@contextmanager
def mongodb_errors() -> Iterator[None]:
    """Raise RulesUnavailable in the place of errors of MongoDB."""
    try:
        yield
    except PyMongoError as error:
        raise RulesUnavailable(f"MongoDB: {one_line(error, 500)}") from error


def audit_entry(old: RuleDocument | None, new: Rule | None, by: Actor, action: str | None = None) -> AuditEntry:
    """The entry of the audit for a rule that is written in the place of a document, or for one that is deleted."""
    done = "deleted" if new is None else "created" if old is None else "changed"
    target = new.rule_id if new is not None else "" if old is None else old.key.name
    return AuditEntry(by, action or f"rule.{done}", target, _recorded(old), None if new is None else to_json(new))


def _recorded(document: RuleDocument | None) -> dict[str, Any] | None:
    """What the audit keeps of a document: the rule, or only what is wrong with it, for it may hold a secret."""
    if document is None:
        return None
    return {"invalid": document.problem} if document.rule is None else to_json(document.rule)


def changed_too_often(rule_id: str) -> Conflict:
    """The error for a write that others were always faster than."""
    return Conflict(f"The rule {rule_id!r} was changed by others {MAX_ATTEMPTS} times meanwhile.")


def history_id(rule_id: str, version: int) -> str:
    """The `_id` of a version in the history. Each version is there once, however many sync workers record it."""
    return f"{rule_id}@{version}"


def last_version(document: RuleDocument | None, record: dict[str, Any] | None) -> int:
    """Return the highest version that a rule ever had."""
    versions = [(record or {}).get(name) for name in ("version", "reserved")]
    return max(map(usable_version, [document.version if document else 0, *versions]))


def usable_version(version: object) -> int:
    """Return a version that another one can follow, else 0."""
    return version if isinstance(version, int) and 0 <= version < MAX_VERSION else 0


def stamped(rule: Rule, version: int, by: str) -> Rule:
    """Return the rule with the fields that the store maintains."""
    now = datetime.now(UTC).replace(microsecond=0)
    return rule.model_copy(update={"version": version, "updated_at": now, "updated_by": by[:MAX_NAME_LENGTH]})


def to_document(rule: Rule) -> dict[str, Any]:
    """Write a rule as a MongoDB document."""
    fields = rule.model_dump(exclude_defaults=True, exclude={"rule_id"})
    return {"_id": rule.rule_id} | fields | {"version": rule.version}
