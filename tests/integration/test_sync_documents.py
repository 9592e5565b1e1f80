"""Whatever a document holds is that document's fault: sync goes past it, and no other rule waits for it."""

import random
from collections.abc import AsyncIterator
from typing import Any

import bson
import pytest
import structlog
from bson import ObjectId
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument
from redis.asyncio import Redis

from app.clients import MongoDatabase, mongo_client
from app.rules.store import HISTORY, RECORDS, RuleStore
from app.settings import Settings
from sync.resume import ResumeToken
from tests.support.broken_documents import broken, huge, without_utf8
from tests.support.sync_steps import caller, document, following, limits, syncing, until
from tests.support.waiting import eventually

FUZZED, BETWEEN = 5000, 100
OBEYED_WITHIN_S = 20.0
"""A cap for a machine that is busy. What the test asserts is that every good rule is obeyed at all, one by one."""


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[MongoDatabase]:
    client = mongo_client(settings.mongodb_url)
    yield client[settings.mongodb_database]
    client.close()


def unvalidated(database: MongoDatabase) -> Any:  # noqa: ANN401
    async def insert(content: RawBSONDocument) -> None:
        await database.command("insert", "rules", documents=[content], bypassDocumentValidation=True)

    return insert


MICROSECONDS = {"updated_at": DatetimeMS(1_790_000_000_000_000)}
BAD = {
    "a date in microseconds": RawBSONDocument(
        bson.encode({"_id": "bad"} | document(1, key_value="bad") | MICROSECONDS)
    ),
    "text that is not UTF-8": without_utf8("bad", "key_value"),
    "a name that is not UTF-8": RawBSONDocument(without_utf8("bad", "key_type").raw),
    "almost 16 MB": huge("bad", (16 << 20) - 1000),
    "a long name": huge("bad", 100_000),
    "an id that is a number": RawBSONDocument(bson.encode({"_id": 5} | document(1))),
    "an id that is not UTF-8": RawBSONDocument(
        bson.encode({"_id": "????"} | document(1)).replace(b"????", b"\xff\xfe\xc0\x80")
    ),
    "an id of 1 MB": RawBSONDocument(bson.encode({"_id": "x" * (1 << 20)} | document(1))),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
async def test_a_document_stops_no_other(
    database: MongoDatabase, cache: Redis, settings: Settings, bad: RawBSONDocument
) -> None:
    insert = unvalidated(database)
    with structlog.testing.capture_logs() as logs:
        async with syncing(database, cache, settings) as metrics, following(settings) as rules:
            await database["rules"].insert_one({"_id": "r"} | document(5))
            await until(rules, caller(), {"r": 5})
            await insert(bad)
            await database["rules"].update_one({"_id": "r"}, {"$set": {"limit": 6}})
            await until(rules, caller(), {"r": 6})
            assert metrics.invalid._value.get() == 1
            assert await _token_advances(database)
        async with syncing(database, cache, settings) as metrics, following(settings) as rules:
            assert metrics.interruptions._value.get() == 0
            await database["rules"].update_one({"_id": "r"}, {"$set": {"limit": 7}})
            await until(rules, caller(), {"r": 7})
            assert metrics.invalid_now._value.get() == 1
            _, (invalid,) = await RuleStore(database).all()
            await database["rules"].delete_one(RawBSONDocument(invalid.key.raw))
            await database["rules"].update_one({"_id": "r"}, {"$set": {"limit": 8}})
            await until(rules, caller(), {"r": 8})
    assert sum(len(str(value)) for line in logs for value in line.values()) < 20_000, "nothing is logged in full"
    for name in (HISTORY, RECORDS):
        assert max([len(bson.encode(one)) async for one in database[name].find()]) < 1000


async def test_the_last_good_version_stays_while_a_document_cannot_be_read(
    database: MongoDatabase, cache: Redis, settings: Settings
) -> None:
    await database["rules"].insert_one({"_id": "r"} | document(5))
    for restarted in range(2):
        async with syncing(database, cache, settings) as metrics, following(settings) as rules:
            await until(rules, caller(), {"r": 5})
            if not restarted:

                async def recorded() -> bool:
                    return await database[RECORDS].count_documents({"_id": "r", "rule.limit": 5}) == 1

                await eventually(recorded, OBEYED_WITHIN_S, "the last good version is recorded")
                date = {"$set": {"updated_at": DatetimeMS(10**17), "limit": 9}}
                await database.command(
                    "update", "rules", updates=[{"q": {"_id": "r"}, "u": date}], bypassDocumentValidation=True
                )

                async def counted() -> bool:
                    return bool(metrics.invalid._value.get())

                await eventually(counted, OBEYED_WITHIN_S, "it is counted")
            else:
                assert metrics.invalid_now._value.get() == 1
            assert await limits(rules, caller()) == {"r": 5}
        await cache.flushall()


async def test_ids_that_are_no_text_touch_no_rule(database: MongoDatabase, cache: Redis, settings: Settings) -> None:
    strange: list[Any] = [5, 5.5, ObjectId("5" * 24), {"a": 1}, True, None]
    same_text = ["5", "true", "none", "5" * 24]
    await database["rules"].insert_many({"_id": name} | document(5, key_value=name) for name in same_text)
    async with syncing(database, cache, settings) as metrics, following(settings) as rules:
        insert = unvalidated(database)
        for key in strange:
            await insert(RawBSONDocument(bson.encode({"_id": key} | document(1))))
        for key in strange:
            await database["rules"].delete_one({"_id": key})
        await database["rules"].insert_one({"_id": "after"} | document(5))
        await until(rules, caller(), {"after": 5})
        assert metrics.invalid._value.get() == len(strange)
        for name in same_text:
            assert await limits(rules, caller(name)) == {name: 5}


@pytest.mark.parametrize("seed", [1, 2])
async def test_random_documents_stop_no_good_rule(
    database: MongoDatabase, cache: Redis, settings: Settings, seed: int
) -> None:
    """Half of them past the validator. Every good rule between them is obeyed, and so is its change."""
    source = random.Random(seed)
    stored = 0
    async with syncing(database, cache, settings) as metrics, following(settings) as rules:
        for first in range(0, FUZZED // 2, BETWEEN):
            some = [broken(source, f"bad{source.randrange(100)}") for _ in range(BETWEEN)]
            stored += await _written(database, some, validated=bool((first // BETWEEN) % 2))
            await database["rules"].replace_one({"_id": "good"}, document(first + 1, key_value="good"), upsert=True)

            async def obeyed(limit: int = first + 1) -> bool:
                return (await limits(rules, caller("good"))).get("good") == limit

            await eventually(obeyed, OBEYED_WITHIN_S, f"the good rule after {first + BETWEEN} documents")
        assert metrics.interruptions._value.get() == 0
        assert metrics.invalid._value.get() > 100
        valid, invalid = await RuleStore(database).all()
        print(f"{stored} documents stored, {len(valid)} valid and {len(invalid)} invalid in the end")
    await cache.flushall()
    async with syncing(database, cache, settings) as metrics, following(settings) as rules:
        await until(rules, caller("good"), await limits(rules, caller("good")))
        assert "good" in await limits(rules, caller("good")), "also after a restart"
        assert metrics.interruptions._value.get() == 0


async def _written(database: MongoDatabase, documents: list[RawBSONDocument], *, validated: bool) -> int:
    """Write each document, over the one with its id. The server refuses some."""
    written = 0
    for one in documents:
        try:
            update = {"q": {"_id": one["_id"]}, "u": one, "upsert": True}
            await database.command("update", "rules", updates=[update], bypassDocumentValidation=not validated)
            written += 1
        except Exception:
            continue
    return written


async def _token_advances(database: MongoDatabase) -> bool:
    before = await ResumeToken(database).load()

    async def advanced() -> bool:
        await database["rules"].update_one({"_id": "r"}, {"$inc": {"priority": 1}})
        return await ResumeToken(database).load() != before

    await eventually(advanced, OBEYED_WITHIN_S, "the resume token advances")
    return True
