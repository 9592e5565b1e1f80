"""Operations in MongoDB: each is done by one admin process at a time, which holds a lease on it."""

import json
from datetime import UTC, datetime
from typing import Any

from bson import ObjectId
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError
from pymongo.write_concern import WriteConcern

from app.admin.services.operation_documents import operation_of, readable_operation, to_document
from app.admin.services.operations_model import ACTIVE, Operation, OperationState
from app.audit.entry import PENSTOCK, Actor, AuditEntry
from app.audit.log import AuditLog
from app.clients import MongoDatabase, MongoSession
from app.errors import Conflict, NotFound
from app.queue.batches import BatchResult
from app.rules.store import mongodb_errors
from app.rules.transactions import in_transaction
from app.web.excerpt import one_line

COLLECTION = "operations"
LEASE_S = 5.0
"""For how long an admin process may say nothing of an operation until another one goes on with it."""

KEPT_DAYS = 30
"""How long operations that have ended are kept."""

MAX_ACTIVE = 100
"""How many operations may be under way at once."""

TIMEOUT_S = 3.0
_ACTIVE = {"$in": [state.value for state in ACTIVE]}
_FREE = {
    "$or": [
        {"holder": None},
        {"$expr": {"$lt": ["$renewed_at", {"$subtract": ["$$NOW", int(LEASE_S * 1000)]}]}},
    ]
}


class OperationStore:
    """Every method raises RulesUnavailable if MongoDB can't be reached.

    Leases end by MongoDB's clock. What changes the progress of an operation names the lease and the batch, so that
    nothing late is written.
    """

    def __init__(self, database: MongoDatabase, audit: AuditLog) -> None:
        self._database = database
        self._operations = database.get_collection(COLLECTION, write_concern=WriteConcern("majority"))
        self._audit = audit
        self._is_prepared = False

    async def prepare(self) -> None:
        """Create the indexes if they do not exist: without them the same could be started twice."""
        if self._is_prepared:
            return
        with mongodb_errors():
            await self._operations.create_index([("state", 1), ("_id", 1)])
            await self._operations.create_index("active_as", unique=True, sparse=True)
            await self._operations.create_index("ended_at", expireAfterSeconds=KEPT_DAYS * 86_400)
        self._is_prepared = True

    async def add(self, operation: Operation, by: Actor) -> None:
        """Add a new operation, and what the audit says of it.

        Raises Conflict if the same is under way already, or very many others are.
        """
        await self.prepare()
        document = to_document(operation)
        active_as = json.dumps([operation.kind, document["filter"]], sort_keys=True)
        entry = AuditEntry(by, "operation.started", operation.id, after=_told(operation))

        async def write(session: MongoSession) -> None:
            await self._audit.add([entry], session)
            await self._operations.insert_one(document | {"active_as": active_as}, session=session)

        with mongodb_errors():
            if await self._operations.count_documents({"state": _ACTIVE}, limit=MAX_ACTIVE) == MAX_ACTIVE:
                raise Conflict(f"{MAX_ACTIVE} operations are under way. Wait until some have ended, or cancel some.")
            try:
                await in_transaction(self._database, write, TIMEOUT_S)
            except DuplicateKeyError:
                other = await self._operations.find_one({"active_as": active_as}, {"_id": 1}) or {"_id": "another"}
                raise Conflict(f"The operation {other['_id']} does the same, and is under way.") from None

    async def get(self, operation_id: str) -> Operation:
        """One operation. Raises NotFound, and Conflict where this version of Penstock cannot read it."""
        with mongodb_errors():
            found = await self._operations.find_one({"_id": operation_id})
        if found is None:
            raise NotFound(f"There is no operation {one_line(operation_id, 80)!r}.")
        operation = readable_operation(found)
        if operation is None:
            raise Conflict(f"Another version of Penstock has written the operation {operation_id!r}; ask that one.")
        return operation

    async def page(self, limit: int, after: str | None) -> tuple[list[Operation], str | None]:
        """Up to `limit` operations, newest first, behind the one with the id `after`; and the `after` of the next page.

        Those that this version of Penstock cannot read are left out. None: these are the last.
        """
        behind = {"_id": {"$type": "string"} if after is None else {"$lt": after}}
        with mongodb_errors():
            found = await self._operations.find(behind).sort("_id", -1).limit(limit + 1).to_list(None)
        operations = [one for one in map(readable_operation, found[:limit]) if one is not None]
        return operations, found[limit - 1]["_id"] if len(found) > limit else None

    async def cancel(self, operation_id: str, by: Actor) -> Operation:
        """Ask for the end of an operation. Raises NotFound, and Conflict if it has ended."""
        now = await self.get(operation_id)
        if now.state is OperationState.CANCELING:
            return now
        if now.has_ended:
            raise Conflict(f"The operation has ended: it is {now.state}.")
        entry = AuditEntry(by, "operation.canceled", operation_id, _told(now))
        wanted = {"_id": operation_id, "state": {"$in": [OperationState.PENDING.value, OperationState.RUNNING.value]}}
        change = {"state": OperationState.CANCELING.value, "canceled_by": by.name}
        await self._changed([entry], wanted, {"$set": change})
        return await self.get(operation_id)

    async def claim(self, holder: str) -> Operation | None:
        """Take the lease of an operation that nobody holds; None if there is none.

        One that this version of Penstock cannot read is left to another version, which may be running too.
        """
        with mongodb_errors():
            free = (
                await self._operations.find({"state": _ACTIVE} | _FREE).sort("_id", 1).limit(MAX_ACTIVE).to_list(None)
            )
            for found in free:
                if readable_operation(found) is not None:
                    claimed = await self._claim(found["_id"], holder)
                    if claimed is not None:
                        return claimed
        return None

    async def _claim(self, operation_id: str, holder: str) -> Operation | None:
        """Take the lease of this one; None: another process was faster."""
        state = {"$cond": [{"$eq": ["$state", "pending"]}, "running", "$state"]}
        started_at = {"$ifNull": ["$started_at", "$$NOW"]}
        change = {"holder": holder, "renewed_at": "$$NOW", "state": state, "started_at": started_at}
        found = await self._operations.find_one_and_update(
            {"_id": operation_id, "state": _ACTIVE} | _FREE, [{"$set": change}], return_document=ReturnDocument.AFTER
        )
        return None if found is None else operation_of(found)

    async def renew(self, operation: Operation, holder: str, problem: str) -> Operation | None:
        """Keep the lease of an operation that cannot go on. None: it is lost."""
        return await self._update({"_id": operation.id, "holder": holder}, {"problem": one_line(problem, 300)})

    async def advance(self, operation: Operation, holder: str, result: BatchResult) -> Operation | None:
        """Write what the next batch has done, and keep the lease. None: the lease is lost."""
        changed = {"batch": operation.batch + 1, "cursor": result.next, "problem": None}
        return await self._update(_next_batch(operation, holder), changed, _counts(result))

    async def end(
        self, operation: Operation, holder: str, result: BatchResult, state: OperationState, why: str | None = None
    ) -> None:
        """Write what the last batch has done, and how the operation has ended."""
        changed = {"batch": operation.batch + 1, "cursor": result.next, "problem": why, "holder": None}
        done = {"done": operation.done + result.done, "skipped": operation.skipped + result.skipped}
        told = _told(operation) | {"state": state.value} | done
        entry = AuditEntry(PENSTOCK, "operation.ended", operation.id, after=told)
        await self._changed(
            [entry],
            _next_batch(operation, holder),
            {
                "$set": changed | {"state": state.value, "ended_at": datetime.now(UTC)},
                "$unset": {"active_as": ""},
                "$inc": _counts(result),
            },
        )

    async def release(self, operation: Operation, holder: str) -> None:
        """Give the lease back, so that another process can go on at once."""
        await self._update({"_id": operation.id, "holder": holder}, {"holder": None})

    async def _update(
        self, wanted: dict[str, Any], changed: dict[str, Any], counts: dict[str, int] | None = None
    ) -> Operation | None:
        update: dict[str, Any] = {"$set": changed, "$currentDate": {"renewed_at": True}}
        with mongodb_errors():
            found = await self._operations.find_one_and_update(
                wanted, update | ({"$inc": counts} if counts else {}), return_document=ReturnDocument.AFTER
            )
        return None if found is None else operation_of(found)

    async def _changed(self, entries: list[AuditEntry], wanted: dict[str, Any], update: dict[str, Any]) -> None:
        """Change an operation if it is as wanted, and only then tell the audit so."""

        async def write(session: MongoSession) -> None:
            if (await self._operations.update_one(wanted, update, session=session)).matched_count:
                await self._audit.add(entries, session)

        with mongodb_errors():
            await in_transaction(self._database, write, TIMEOUT_S)


def new_operation_id() -> str:
    """Return a new id. Later ids come after earlier ones, to the second."""
    return str(ObjectId())


def _next_batch(operation: Operation, holder: str) -> dict[str, Any]:
    return {"_id": operation.id, "holder": holder, "batch": operation.batch}


def _counts(result: BatchResult) -> dict[str, int]:
    errors: dict[str, int] = {}
    for why in result.problems.values():
        errors[f"errors.{why}"] = errors.get(f"errors.{why}", 0) + 1
    return {"done": result.done, "skipped": result.skipped, "looked_at": result.looked_at} | errors


def _told(operation: Operation) -> dict[str, Any]:
    """What the audit says of an operation."""
    document = to_document(operation)
    return {name: document[name] for name in ("kind", "filter", "rate_per_s")}
