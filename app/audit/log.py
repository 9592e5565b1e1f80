"""The audit in MongoDB. Entries are added in the transaction of the change that they are about, where there is one."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import DatetimeMS, ObjectId
from pymongo.errors import BulkWriteError, CollectionInvalid, OperationFailure
from pymongo.write_concern import WriteConcern

from app.audit.entry import AuditEntry
from app.clients import MongoDatabase, MongoSession

COLLECTION = "audit"
CURSOR = r"^-?[0-9]{1,15}-[0-9a-f]{24}$"
"""The pattern of the cursor of a page: the time and the id of the last entry of the page before."""

FILTERS = ("actor", "kind", "action", "target")
_INDEX_OPTIONS_CONFLICT = 85
_DUPLICATE_KEY = 11000
_NEWEST_FIRST = [("at", -1), ("_id", -1)]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries to list. `action` names a kind, such as `rule`, or one action, such as `rule.changed`.

    `since` is the first time that counts, `until` the first that does not.
    """

    actor: str | None = None
    action: str | None = None
    target: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class AuditLog:
    """Adds and finds entries. Methods raise pymongo's errors, by which a transaction is tried again."""

    def __init__(self, database: MongoDatabase) -> None:
        self._database = database
        self._entries = database.get_collection(COLLECTION, write_concern=WriteConcern("majority"))

    async def setup(self, days: int) -> None:
        """Create the collection and its indexes, and let entries go after so many days."""
        with suppress(CollectionInvalid):
            await self._database.create_collection(COLLECTION)
        await self._entries.create_index(_NEWEST_FIRST)
        for name in FILTERS:
            await self._entries.create_index([(name, 1), *_NEWEST_FIRST])
        try:
            await self._entries.create_index("at", expireAfterSeconds=days * 86_400)
        except OperationFailure as error:
            if error.code != _INDEX_OPTIONS_CONFLICT:
                raise
            index = {"keyPattern": {"at": 1}, "expireAfterSeconds": days * 86_400}
            await self._database.command("collMod", COLLECTION, index=index)

    async def add(self, entries: Sequence[AuditEntry], session: MongoSession | None = None) -> None:
        """Add entries; with a session in its transaction, so that they are there exactly if that is committed."""
        if entries:
            await self._entries.insert_many([entry.to_document() for entry in entries], session=session)

    async def add_once(self, entries: Mapping[ObjectId, AuditEntry]) -> None:
        """Add entries under ids of their own, unless they are there already."""
        documents = [{"_id": entry_id} | entry.to_document() for entry_id, entry in entries.items()]
        try:
            await self._entries.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            if any(one["code"] != _DUPLICATE_KEY for one in (error.details or {}).get("writeErrors", [])):
                raise

    async def page(self, wanted: AuditFilter, after: str | None, limit: int) -> tuple[list[dict[str, Any]], str | None]:
        """Return up to `limit` entries, newest first, and the cursor of the next page; None: these are the last.

        `after` is a cursor that matches `CURSOR`. Entries that are added meanwhile stand before all pages that follow.
        """
        query = _query(wanted, after)
        found = [entry async for entry in self._entries.find(query).sort(_NEWEST_FIRST).limit(limit + 1)]
        return found[:limit], _cursor(found[limit - 1]) if len(found) > limit else None


def _query(wanted: AuditFilter, after: str | None) -> dict[str, Any]:
    conditions: list[dict[str, Any]] = [
        {name: value} for name in ("actor", "target") if (value := getattr(wanted, name)) is not None
    ]
    if wanted.action is not None:
        conditions.append({"action" if "." in wanted.action else "kind": wanted.action})
    bounds = {"$gte": wanted.since, "$lt": wanted.until}
    conditions += [{"at": {name: bound}} for name, bound in bounds.items() if bound is not None]
    if after is not None:
        at, entry_id = _read_cursor(after)
        conditions += [{"at": {"$lte": at}}, {"$or": [{"at": {"$lt": at}}, {"_id": {"$lt": entry_id}}]}]
    return {"$and": conditions} if conditions else {}


def _cursor(entry: dict[str, Any]) -> str:
    return f"{(entry['at'] - _EPOCH) // timedelta(milliseconds=1)}-{entry['_id']}"


def _read_cursor(cursor: str) -> tuple[DatetimeMS, ObjectId]:
    """Read a cursor. The time is one of BSON, because Python cannot hold all that a client may name."""
    milliseconds, _, entry_id = cursor.rpartition("-")
    return DatetimeMS(int(milliseconds)), ObjectId(entry_id)
