"""The full copy: every rule as of one moment of MongoDB's cluster time."""

from dataclasses import dataclass
from typing import Any

from bson.timestamp import Timestamp
from motor.motor_asyncio import AsyncIOMotorDatabase

from app.errors import InvalidRule
from app.rules.model import Rule, parse_rule
from app.rules.store import COLLECTION
from sync.plan import revision_of


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All rules as of `revision`, and what is wrong with the documents that are none."""

    revision: int
    rules: dict[str, Rule]
    invalid: dict[str, str]


async def read_all(database: "AsyncIOMotorDatabase[Any]") -> Snapshot:
    """One consistent read; raises pymongo's errors."""
    time: Timestamp = (await database.command("ping"))["operationTime"]
    rules: dict[str, Rule] = {}
    invalid: dict[str, str] = {}
    command = {"find": COLLECTION, "readConcern": {"level": "snapshot", "atClusterTime": time}, "batchSize": 5000}
    async for document in await database.cursor_command(command):
        rule_id = str(document["_id"])
        try:
            rules[rule_id] = parse_rule(document)
        except InvalidRule as error:
            invalid[rule_id] = str(error)
    return Snapshot(revision_of(time), rules, invalid)
