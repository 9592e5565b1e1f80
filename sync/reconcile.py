"""The full copy: every rule as of one moment of MongoDB's cluster time, into the cache and the archive."""

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
from sync.cache_copy import CacheCopy
from sync.plan import revision_of
from sync.publisher import Publisher

BATCH_SIZE = 500
"""How many documents are read in one turn of the event loop. Changes of the stream are published between batches."""

MAX_SNAPSHOT_AGE_S = 60.0
"""A copy that takes longer continues from a newer snapshot: by default MongoDB keeps a snapshot for five minutes."""


@dataclass(frozen=True, slots=True)
class CopySummary:
    """How many rules a copy contained, how many of them differed from what was published, and how many documents were
    invalid.
    """

    rules: int
    changed: int
    invalid: int


@dataclass(frozen=True, slots=True)
class RuleBatch:
    """Rules as of a revision, and the problem of each invalid document by its id."""

    revision: int
    rules: list[Rule]
    problems: dict[str, str]


async def copy_all(
    database: MongoDatabase,
    publisher: Publisher,
    archive: Archive,
    report_invalid: Callable[[str, str], None],
) -> CopySummary:
    """Publish all rules as they are now. Raises pymongo's errors and RulesUnavailable.

    A rule that is missing counts as deleted at the time of the first snapshot. A rule that was created later, behind
    the position of the copy, has a newer revision and so is not removed.
    """
    time = await _cluster_time(database)
    revision = revision_of(time)
    copy = await CacheCopy.begin(publisher, revision)
    valid: set[str] = set()
    invalid: set[str] = set()
    changed = 0
    async for batch in _batches(database, time):
        changed += await copy.add(batch.rules, batch.revision)
        await archive.add_copied(batch.rules, batch.revision)
        valid.update(rule.rule_id for rule in batch.rules)
        invalid.update(batch.problems)
        for rule_id, problem in batch.problems.items():
            report_invalid(rule_id, problem)
    if invalid:
        await archive.recorded()
        changed += await copy.add((await RuleStore(database).last_good(invalid)).values(), revision)
        copy.keep(invalid)
    changed += await copy.end()
    await archive.end_copy(valid | invalid, revision)
    return CopySummary(len(valid), changed, len(invalid))


async def _batches(database: MongoDatabase, time: Timestamp) -> AsyncIterator[RuleBatch]:
    """Read all documents in the order of their ids, from a snapshot as of `time`, later from newer ones."""
    command: dict[str, Any] = {"find": COLLECTION, "hint": {"_id": 1}, "batchSize": BATCH_SIZE}
    while True:
        opened_at_s = monotonic()
        cursor = await database.cursor_command(command, readConcern={"level": "snapshot", "atClusterTime": time})
        while documents := await cursor.to_list(BATCH_SIZE):
            yield _parsed(documents, revision_of(time))
            if monotonic() - opened_at_s > MAX_SNAPSHOT_AGE_S:
                break
            await asyncio.sleep(0)
        else:
            return
        await cursor.close()
        last = documents[-1]["_id"]  # of any type: `min` orders values of all types, which `$gt` does not
        command |= {"min": {"_id": last}, "filter": {"_id": {"$ne": last}}}
        time = await _cluster_time(database)


async def _cluster_time(database: MongoDatabase) -> Timestamp:
    time: Timestamp = (await database.command("ping"))["operationTime"]
    return time


def _parsed(documents: list[dict[str, Any]], revision: int) -> RuleBatch:
    batch = RuleBatch(revision, [], {})
    for document in documents:
        try:
            batch.rules.append(parse_rule(document))
        except InvalidRule as error:
            batch.problems[str(document["_id"])] = str(error)
    return batch
