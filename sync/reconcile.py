"""The full copy: every rule as of one moment of MongoDB's cluster time, into the cache and the archive."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from bson.timestamp import Timestamp
from motor.motor_asyncio import AsyncIOMotorDatabase

from app.errors import InvalidRule
from app.rules.model import Rule, parse_rule
from app.rules.store import COLLECTION, RuleStore
from sync.archive import Archive
from sync.copying import Copying
from sync.plan import revision_of
from sync.publisher import Publisher

BATCH = 500
"""Of documents that are read in one turn of the event loop: the stream's changes go between the batches."""


@dataclass(frozen=True, slots=True)
class Copied:
    """How many rules there are, how many of them were not published before, and how many documents are none."""

    rules: int
    changed: int
    invalid: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Rules, and what is wrong with the documents that are none."""

    rules: list[Rule]
    invalid: dict[str, str]


async def copy_all(
    database: "AsyncIOMotorDatabase[Any]",
    publisher: Publisher,
    archive: Archive,
    refuse: Callable[[str, str], None],
) -> Copied:
    """Publish everything as it is now. Raises pymongo's errors and RulesUnavailable."""
    time: Timestamp = (await database.command("ping"))["operationTime"]
    revision = revision_of(time)
    copying = await Copying.begin(publisher, revision)
    seen: set[str] = set()
    invalid: set[str] = set()
    changed = 0
    async for batch in _batches(database, time):
        changed += await copying.add(batch.rules)
        await archive.add_copied(batch.rules, revision)
        seen.update(rule.rule_id for rule in batch.rules)
        invalid.update(batch.invalid)
        for rule_id, problem in batch.invalid.items():
            refuse(rule_id, problem)
    if invalid:
        await archive.written()
        changed += await copying.add((await RuleStore(database).last_good(invalid)).values())
        copying.keep(invalid)
    changed += await copying.end()
    await archive.end_copy(seen | invalid, revision)
    return Copied(len(seen), changed, len(invalid))


async def _batches(database: "AsyncIOMotorDatabase[Any]", time: Timestamp) -> AsyncIterator[Batch]:
    """One consistent read."""
    command = {"find": COLLECTION, "readConcern": {"level": "snapshot", "atClusterTime": time}, "batchSize": BATCH}
    cursor = await database.cursor_command(command)
    while documents := await cursor.to_list(BATCH):
        batch = Batch([], {})
        for document in documents:
            try:
                batch.rules.append(parse_rule(document))
            except InvalidRule as error:
                batch.invalid[str(document["_id"])] = str(error)
        yield batch
        await asyncio.sleep(0)
