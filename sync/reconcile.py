"""The full copy: every rule as of a moment of MongoDB's cluster time, into the cache and the archive."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

from bson.timestamp import Timestamp

from app.clients import MongoDatabase
from app.errors import InvalidRule
from app.rules.model import Rule, parse_rule
from app.rules.store import COLLECTION, RuleStore
from sync.archive import Archive
from sync.copying import Copying
from sync.plan import revision_of
from sync.publisher import Publisher

BATCH = 500
"""Of documents that are read in one turn of the event loop: the stream's changes go between the batches."""

LONGEST_SNAPSHOT_S = 60.0
"""A copy that takes longer goes on from a newer snapshot: MongoDB keeps what is needed for five minutes by default."""


@dataclass(frozen=True, slots=True)
class Copied:
    """How many rules there are, how many of them were not published before, and how many documents are none."""

    rules: int
    changed: int
    invalid: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Rules as of a revision, and what is wrong with the documents that are none."""

    revision: int
    rules: list[Rule]
    invalid: dict[str, str]


async def copy_all(
    database: MongoDatabase,
    publisher: Publisher,
    archive: Archive,
    refuse: Callable[[str, str], None],
) -> Copied:
    """Publish everything as it is now. Raises pymongo's errors and RulesUnavailable.

    What is missing is gone as of the first snapshot: a rule that came later, where the copy had been already, is newer.
    """
    time = await _now(database)
    revision = revision_of(time)
    copying = await Copying.begin(publisher, revision)
    seen: set[str] = set()
    invalid: set[str] = set()
    changed = 0
    async for batch in _batches(database, time):
        changed += await copying.add(batch.rules, batch.revision)
        await archive.add_copied(batch.rules, batch.revision)
        seen.update(rule.rule_id for rule in batch.rules)
        invalid.update(batch.invalid)
        for rule_id, problem in batch.invalid.items():
            refuse(rule_id, problem)
    if invalid:
        await archive.written()
        changed += await copying.add((await RuleStore(database).last_good(invalid)).values(), revision)
        copying.keep(invalid)
    changed += await copying.end()
    await archive.end_copy(seen | invalid, revision)
    return Copied(len(seen), changed, len(invalid))


async def _batches(database: MongoDatabase, time: Timestamp) -> AsyncIterator[Batch]:
    """Everything in the order of the ids; the first snapshot is as of `time`."""
    command: dict[str, Any] = {"find": COLLECTION, "hint": {"_id": 1}, "batchSize": BATCH}
    while True:
        since_s = monotonic()
        cursor = await database.cursor_command(command, readConcern={"level": "snapshot", "atClusterTime": time})
        while documents := await cursor.to_list(BATCH):
            yield _parsed(documents, revision_of(time))
            if monotonic() - since_s > LONGEST_SNAPSHOT_S:
                break
            await asyncio.sleep(0)
        else:
            return
        await cursor.close()
        last = documents[-1]["_id"]  # of whatever type: `min` knows an order of all of them, `$gt` does not
        command |= {"min": {"_id": last}, "filter": {"_id": {"$ne": last}}}
        time = await _now(database)


async def _now(database: MongoDatabase) -> Timestamp:
    time: Timestamp = (await database.command("ping"))["operationTime"]
    return time


def _parsed(documents: list[dict[str, Any]], revision: int) -> Batch:
    batch = Batch(revision, [], {})
    for document in documents:
        try:
            batch.rules.append(parse_rule(document))
        except InvalidRule as error:
            batch.invalid[str(document["_id"])] = str(error)
    return batch
