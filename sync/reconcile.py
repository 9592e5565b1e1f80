"""The full copy: every rule as of one moment of MongoDB's cluster time, into the cache and the archive."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp

from app.clients import MongoDatabase
from app.rules.documents import PROJECTION, RAW, RuleDocument, read_document
from app.rules.model import Rule
from app.rules.store import COLLECTION, RuleStore
from sync.archive import Archive
from sync.cache_copy import CacheCopy
from sync.plan import RuleChange, revision_of
from sync.publisher import Publisher
from sync.resume import COLLECTION as SYNC_STATE
from sync.schedules import Schedules, published_forms

BATCH_SIZE = 500
"""How many documents are read in one turn of the event loop. Changes of the stream are published between batches."""

CLOCK = "clock"
"""The document of `SYNC_STATE` that is written to know MongoDB's time, which otherwise stands still without writes."""

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
    """Rules as of a revision, and the documents that are not valid rules."""

    revision: int
    rules: list[Rule]
    invalid: list[RuleDocument]


def _nothing(_: Rule) -> None:
    return None


async def copy_all(
    database: MongoDatabase,
    publisher: Publisher,
    archive: Archive,
    report_invalid: Callable[[RuleDocument], None],
    problem_of: Callable[[Rule], str | None] = _nothing,
    schedules: Schedules | None = None,
) -> CopySummary:
    """Publish all rules as they are now. Raises pymongo's errors and RulesUnavailable.

    What is published of rules with a schedule is what is in force; `schedules` notes when that changes. `problem_of`
    says what makes a valid rule unusable here; such a rule counts as an invalid document.

    A rule that is missing counts as deleted at the time of the first snapshot. A rule that was created later, behind
    the position of the copy, has a newer revision and so is not removed.
    """
    time = await _cluster_time(database)
    revision = revision_of(time)
    copy = await CacheCopy.begin(publisher, revision)
    valid: set[str] = set()
    kept: set[str] = set()
    invalid = changed = 0
    async for batch in _batches(database, time, problem_of):
        changed += await _add(copy, batch.rules, batch.revision, schedules)
        await archive.add_copied(batch.rules, batch.revision)
        valid.update(rule.rule_id for rule in batch.rules)
        kept.update(rule_id for document in batch.invalid if (rule_id := document.key.rule_id) is not None)
        invalid += len(batch.invalid)
        for document in batch.invalid:
            report_invalid(document)
    if kept:
        await archive.recorded()
        last_good = (await RuleStore(database).last_good(kept)).values()
        changed += await _add(copy, last_good, revision, schedules)
        copy.keep(kept)
    changed += await copy.end()
    await archive.end_copy(valid | kept, revision)
    return CopySummary(len(valid), changed, invalid)


async def _add(copy: CacheCopy, rules: Iterable[Rule], revision: int, schedules: Schedules | None) -> int:
    changes = [RuleChange(rule.rule_id, revision, rule) for rule in rules]
    forms = await published_forms(changes)
    changed = await copy.add([form.rule for form in forms if form.rule is not None], revision)
    if schedules is not None:
        await schedules.note(changes)
    return changed


async def changes_now(
    database: MongoDatabase,
    archive: Archive,
    rule_ids: Sequence[str],
    problem_of: Callable[[Rule], str | None] = _nothing,
) -> list[RuleChange]:
    """Return these rules as they are at the present cluster time, and None where a rule does not exist.

    The last valid version takes the place of a document that is not a valid rule. Raises pymongo's errors.
    """
    time = await advanced_time(database)
    command = {"find": COLLECTION, "filter": {"_id": {"$in": rule_ids}}, "projection": PROJECTION}
    snapshot = {"level": "snapshot", "atClusterTime": time}
    raw = database.with_options(codec_options=RAW)
    cursor = await raw.cursor_command(command, readConcern=snapshot, codec_options=RAW)
    batch = _parsed(await cursor.to_list(len(rule_ids)), revision_of(time), problem_of)
    rules = {rule.rule_id: rule for rule in batch.rules}
    if batch.invalid:
        await archive.recorded()
        rules |= await RuleStore(database).last_good(document.key.name for document in batch.invalid)
    return [RuleChange(rule_id, batch.revision, rules.get(rule_id)) for rule_id in rule_ids]


async def advanced_time(database: MongoDatabase) -> Timestamp:
    """Return the cluster time, which is that of MongoDB's clock because something is written for it."""
    update = {"q": {"_id": CLOCK}, "u": {"$currentDate": {"at": True}}, "upsert": True}
    written = await database.command({"update": SYNC_STATE, "updates": [update], "writeConcern": {"w": "majority"}})
    time: Timestamp = written["operationTime"]
    return time


async def _batches(
    database: MongoDatabase, time: Timestamp, problem_of: Callable[[Rule], str | None]
) -> AsyncIterator[RuleBatch]:
    """Read all documents in the order of their ids, from a snapshot as of `time`, later from newer ones."""
    by_id: dict[str, Any] = {"find": COLLECTION, "hint": {"_id": 1}}
    command = by_id | {"projection": PROJECTION, "batchSize": BATCH_SIZE}
    last: RawBSONDocument | None = None
    while True:
        opened_at_s = monotonic()
        snapshot = {"level": "snapshot", "atClusterTime": time}
        # The options of the command hold for its first batch only, those of the database for the others only.
        raw = database.with_options(codec_options=RAW)
        cursor = await raw.cursor_command(command, readConcern=snapshot, codec_options=RAW)
        while documents := await cursor.to_list(BATCH_SIZE):
            # A cursor that goes on begins with the document at which the last one ended.
            new = [found for found in documents if found["documentKey"] != last]
            if not new:
                return
            yield _parsed(new, revision_of(time), problem_of)
            if monotonic() - opened_at_s > MAX_SNAPSHOT_AGE_S:
                break
            await asyncio.sleep(0)
        else:
            return
        await cursor.close()
        # The id may be of any type: `min` orders values of all types, which `$gt` does not.
        last = command["min"] = documents[-1]["documentKey"]
        time = await _cluster_time(database)


async def _cluster_time(database: MongoDatabase) -> Timestamp:
    time: Timestamp = (await database.command("ping"))["operationTime"]
    return time


def _parsed(found: list[RawBSONDocument], revision: int, problem_of: Callable[[Rule], str | None]) -> RuleBatch:
    documents = [document.checked(problem_of) for one in found if (document := read_document(one)) is not None]
    rules = [document.rule for document in documents if document.rule is not None]
    return RuleBatch(revision, rules, [document for document in documents if document.rule is None])
