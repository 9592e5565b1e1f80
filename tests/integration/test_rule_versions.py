"""Versions never repeat, whoever writes a rule: the history has each of them once, and as many as the setting says."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from app.clients import MongoDatabase, mongo_client
from app.errors import NotFound
from app.rules.model import Rule, parse_rule
from app.rules.store import HISTORY, RuleStore
from app.settings import Settings
from sync.archive import Archive
from sync.plan import RuleChange
from sync.resume import ResumeToken
from sync.versions import Recorded, recorded_after, version_of
from tests.support.rules import OPS, RULE
from tests.support.sync_steps import caller, document, following, syncing, until
from tests.support.waiting import eventually

Entry = tuple[int, int | None]
NOW = int(time.time()) << 20
"""A revision of this second: MongoDB removes entries of the history that are too old."""


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[MongoDatabase]:
    client = mongo_client(settings.mongodb_url)
    yield client[settings.mongodb_database]
    client.close()


def rule(limit: int, version: int = 1) -> Rule:
    return parse_rule(RULE | {"limit": limit, "version": version})


async def history(database: MongoDatabase) -> list[Entry]:
    """Versions and limits, oldest first; no limit where the rule was deleted."""
    entries = database[HISTORY].find({"rule_id": "r"}).sort([("version", 1), ("revision", 1)])
    return [(entry["version"], entry["rule"] and entry["rule"]["limit"]) async for entry in entries]


async def becomes(database: MongoDatabase, expected: list[Entry]) -> None:
    async def as_expected() -> bool:
        return await history(database) == expected

    await eventually(as_expected, 20, f"the history is {expected}")


async def test_direct_writes_get_versions_of_their_own(
    database: MongoDatabase, cache: Redis, settings: Settings
) -> None:
    store, rules = RuleStore(database), database["rules"]

    async def marked(version: int) -> bool:
        return (await store.get("r")).version == version

    async with syncing(database, cache, settings), following(settings) as cached:
        await store.put(rule(5), OPS)
        await becomes(database, [(1, 5)])
        await rules.update_one({"_id": "r"}, {"$set": {"limit": 6}})
        await becomes(database, [(1, 5), (2, 6)])
        await eventually(lambda: marked(2), 20, "the document has its version, which is written last")
        assert (await store.put(rule(7), OPS)).version == 3
        await becomes(database, [(1, 5), (2, 6), (3, 7)])
        await rules.replace_one({"_id": "r"}, document(8))
        await becomes(database, [(1, 5), (2, 6), (3, 7), (4, 8)])
        await rules.delete_one({"_id": "r"})
        await becomes(database, [(1, 5), (2, 6), (3, 7), (4, 8), (4, None)])
        await rules.insert_one({"_id": "r"} | document(5))
        await until(cached, caller(), {"r": 5})
        await becomes(database, [(1, 5), (2, 6), (3, 7), (4, 8), (4, None), (5, 5)])
        await eventually(lambda: marked(5), 20, "the document has its version")
        await store.remove(await store.find("r"), OPS)
        assert (await store.put(rule(9), OPS)).version == 6
        assert (await store.version("r", 2)).limit == 6
        with pytest.raises(NotFound):
            await store.version("r", 7)


async def test_two_sync_workers_and_full_copies_record_each_version_once(
    database: MongoDatabase, cache: Redis, settings: Settings
) -> None:
    often = settings.model_copy(update={"sync_full_interval_s": 0.05})
    async with syncing(database, cache, often), syncing(database, cache, often):
        store = RuleStore(database)
        for limit in range(1, 11):
            await store.put(rule(limit), OPS)
            await asyncio.sleep(0.1)
        await becomes(database, [(limit, limit) for limit in range(1, 11)])
        await asyncio.sleep(0.5)
        assert await history(database) == [(limit, limit) for limit in range(1, 11)]


async def test_the_history_keeps_as_many_versions_as_the_setting_says(database: MongoDatabase) -> None:
    await RuleStore(database).setup()
    async with Archive(database, ResumeToken(database), history_versions=10) as archive:
        for version in range(1, 31):
            await archive.add([RuleChange("r", NOW + version, rule(version, version))], None)
        await archive.add([RuleChange("other", NOW + 99, parse_rule(RULE | {"rule_id": "other"}))], None)
        await archive.recorded()
    assert await history(database) == [(version, version) for version in range(21, 31)]
    assert await database[HISTORY].count_documents({}) == 11


async def test_how_long_the_history_is_kept_can_change(database: MongoDatabase) -> None:
    for days in (365, 30, 30):
        await RuleStore(database).setup(days)
        (index,) = [one async for one in database[HISTORY].list_indexes() if "expireAfterSeconds" in one]
        assert (index["expireAfterSeconds"], list(index["key"])) == (days * 86_400, ["at"])
    async with Archive(database, ResumeToken(database)) as archive:
        await archive.add([RuleChange("r", NOW, rule(5))], None)
        await archive.recorded()
    (entry,) = [one async for one in database[HISTORY].find()]
    assert entry["at"] == datetime.fromtimestamp(NOW >> 20, UTC)


CHANGES = st.lists(st.tuples(st.none() | st.integers(1, 3), st.integers(1, 4), st.booleans()), max_size=20)


@given(CHANGES)
def test_no_two_contents_have_one_version(changes: list[tuple[int | None, int, bool]]) -> None:
    """Whatever versions clients write, and whichever the admin API has given out meanwhile."""
    recorded, contents = Recorded(), dict[int, int | None]()
    for revision, (limit, version, reserve) in enumerate(changes):
        change = RuleChange("r", revision, None if limit is None else rule(limit, version))
        found = version_of(change, recorded)
        if found is not None:
            if found.rule is not None:
                assert contents.setdefault(found.version, found.rule.limit) == found.rule.limit
                assert found.rule.version == found.version
            recorded = recorded_after(found, recorded)
        if reserve:
            recorded = Recorded(recorded.version, recorded.version + 1, recorded.revision, recorded.digest)
    assert list(contents) == sorted(contents)


def test_nothing_older_or_the_same_is_recorded() -> None:
    recorded = Recorded(version=3, revision=10)
    first: Any = version_of(RuleChange("r", 11, rule(5, 4)), recorded)
    recorded = recorded_after(first, recorded)
    assert version_of(RuleChange("r", 11, rule(6, 5)), recorded) is None
    assert version_of(RuleChange("r", 12, rule(5, 4)), recorded) is None
    assert version_of(RuleChange("s", 12, None), Recorded()) is None
