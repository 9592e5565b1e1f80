"""Writes many rules in one transaction: all of them, or none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bson.int64 import Int64
from pymongo import DeleteOne, InsertOne, ReplaceOne, UpdateOne

from app.audit.entry import Actor, AuditEntry
from app.audit.log import AuditLog
from app.clients import MongoDatabase, MongoSession
from app.rules.documents import PROJECTION, RAW, DocumentKey, RuleDocument, read_document
from app.rules.in_force import after_change
from app.rules.model import Rule, editable_fields, to_json
from app.rules.store import (
    COLLECTION,
    RECORDS,
    StoredRule,
    audit_entry,
    last_version,
    mongodb_errors,
    stamped,
    to_document,
)
from app.rules.transactions import in_transaction

TIMEOUT_S = 20.0
"""How long a transaction is tried again while others write the same rules, or MongoDB elects a new primary."""


@dataclass(frozen=True, slots=True)
class FieldChange:
    """What a field was and what it is now; None is its default."""

    field: str
    old: Any
    new: Any


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done with one rule or document: `created`, `changed`, `unchanged`, `deleted` or `missing`."""

    name: str
    outcome: str
    version: int | None = None
    changes: tuple[FieldChange, ...] = ()


@dataclass(frozen=True, slots=True)
class _Write:
    """A rule to write in the place of a document. None: there is no such rule, or no such document."""

    document: RuleDocument | None
    rule: Rule | None

    @property
    def versioned(self) -> Rule | None:
        """The rule whose version must not be given out again."""
        return self.rule or (self.document.rule if self.document else None)


class BulkWriter:
    """Writes many rules at once. Raises RulesUnavailable."""

    def __init__(self, database: MongoDatabase) -> None:
        self._database = database
        self._audit = AuditLog(database)
        self._rules = database[COLLECTION]
        self._documents = database.get_collection(COLLECTION, codec_options=RAW)
        self._records = database[RECORDS]

    async def apply(
        self, rules: Sequence[Rule], deleted: Sequence[DocumentKey], by: Actor, *, dry_run: bool = False
    ) -> list[Outcome]:
        """Write these rules and delete these documents, and report what that was. With `dry_run` nothing is written.

        The audit names `by` for each.
        """

        async def write(session: MongoSession) -> list[Outcome]:
            outcomes, writes = await self._decide(rules, deleted, by, session)
            if not dry_run:
                await self._write(writes, by, session)
            return outcomes

        with mongodb_errors():
            return await in_transaction(self._database, write, TIMEOUT_S)

    async def _decide(
        self, rules: Sequence[Rule], deleted: Sequence[DocumentKey], by: Actor, session: MongoSession
    ) -> tuple[list[Outcome], list[_Write]]:
        stored = await self._stored([rule.rule_id for rule in rules], session)
        pairs = [decide(stored[rule.rule_id], rule, by.name) for rule in rules]
        for key in deleted:
            found = await self._documents.find_one(key.query, PROJECTION, session=session)
            document = None if found is None else read_document(found)
            pairs.append((Outcome(key.name, "deleted" if document else "missing"), _Write(document, None)))
        return [outcome for outcome, _ in pairs], [write for _, write in pairs if write is not None]

    async def _stored(self, ids: list[str], session: MongoSession) -> dict[str, StoredRule]:
        query = {"_id": {"$in": ids}}
        documents = [read_document(found) async for found in self._documents.find(query, PROJECTION, session=session)]
        by_id = {document.key.rule_id: document for document in documents if document is not None}
        fields = {"version": 1, "reserved": 1}
        records = {one["_id"]: one async for one in self._records.find(query, fields, session=session)}
        return {
            rule_id: StoredRule(rule_id, by_id.get(rule_id), last_version(by_id.get(rule_id), records.get(rule_id)))
            for rule_id in ids
        }

    async def _write(self, writes: Sequence[_Write], by: Actor, session: MongoSession) -> None:
        operations = [operation for write in writes if (operation := _operation(write)) is not None]
        reserved = [_reservation(rule) for write in writes if (rule := write.versioned) is not None]
        await self._audit.add(_entries(writes, by), session)
        if reserved:
            await self._records.bulk_write(reserved, ordered=False, session=session)
        if operations:
            await self._rules.bulk_write(operations, session=session)


def _entries(writes: Sequence[_Write], by: Actor) -> list[AuditEntry]:
    done = [write for write in writes if write.document is not None or write.rule is not None]
    return [audit_entry(write.document, write.rule, by) for write in done]


def decide(stored: StoredRule, rule: Rule, by: str) -> tuple[Outcome, _Write | None]:
    """Return what writing a rule over what is stored is, and what to write; None if it is there already.

    Raises InvalidRule if the rule would not be valid once its temporary values are over.
    """
    if stored.document is not None and stored.document.rule is not None:
        old, changes = stored.document.rule, differences(stored.document.rule, rule)
        if not changes:
            return Outcome(rule.rule_id, "unchanged", old.version), None
    else:
        changes = ()
    old_rule = stored.document.rule if stored.document else None
    new = stamped(after_change(old_rule, rule), stored.last_version + 1, by)
    outcome = "created" if stored.document is None else "changed"
    return Outcome(rule.rule_id, outcome, new.version, changes), _Write(stored.document, new)


def differences(old: Rule, new: Rule) -> tuple[FieldChange, ...]:
    """Return the fields in which two versions of a rule differ."""
    before, after = editable_fields(to_json(old)), editable_fields(to_json(new))
    names: Mapping[str, Any] = {**before, **after}
    return tuple(
        FieldChange(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)
    )


def _operation(write: _Write) -> InsertOne[Any] | ReplaceOne[Any] | DeleteOne | None:
    if write.document is None:
        return None if write.rule is None else InsertOne(to_document(write.rule))
    if write.rule is None:
        return DeleteOne(write.document.key.query)
    return ReplaceOne({"_id": write.rule.rule_id}, to_document(write.rule))


def _reservation(rule: Rule) -> UpdateOne:
    return UpdateOne({"_id": rule.rule_id}, {"$max": {"reserved": Int64(rule.version)}}, upsert=True)
