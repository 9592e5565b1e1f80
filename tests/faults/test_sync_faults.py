"""Sync in trouble: a lost stream, a dropped collection, a step-down, a killed mongod, a worker that slept."""

import asyncio
import gc
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from bson import Timestamp
from pymongo.errors import PyMongoError
from redis.asyncio import Redis

from app.clients import MongoDatabase, mongo_client
from app.local.stores import mongodb_is_ready, rules_store
from app.rules.keys import VERSION
from app.rules.store import RuleStore
from app.settings import Settings
from tests.support.ports import free_port
from tests.support.stores import started
from tests.support.sync_steps import caller, document, following, limits, syncing, until
from tests.support.system import running
from tests.support.waiting import eventually


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[MongoDatabase]:
    client = mongo_client(settings.mongodb_url)
    yield client[settings.mongodb_database]
    client.close()


async def persistently(write: Callable[[], Awaitable[Any]]) -> None:
    """A client's own retries: the fault that the test made may meet its writes too."""
    while True:
        try:
            await write()
            return
        except PyMongoError:
            await asyncio.sleep(0.1)


async def test_a_lost_stream_begins_anew_with_a_full_copy(
    database: MongoDatabase, cache: Redis, settings: Settings
) -> None:
    await database["rules"].insert_one({"_id": "r"} | document(5))
    async with syncing(database, cache, settings) as metrics, following(settings) as rules:
        await until(rules, caller(), {"r": 5})
        fail = {"configureFailPoint": "failCommand", "mode": {"times": 1}}
        await database.client.admin.command({**fail, "data": {"failCommands": ["getMore"], "errorCode": 286}})

        async def interrupted() -> bool:
            return bool(metrics.interruptions._value.get() >= 1)

        await eventually(interrupted, 20, "the stream is lost")
        await database["rules"].update_one({"_id": "r"}, {"$set": {"limit": 6}})
        await until(rules, caller(), {"r": 6})
        assert metrics.interruptions._value.get() <= 3, "fewer than one retry a second"


async def test_a_full_copy_holds_up_no_change(database: MongoDatabase, cache: Redis, settings: Settings) -> None:
    always = settings.model_copy(update={"sync_full_interval_s": 0.1})
    await database["rules"].insert_one({"_id": "r"} | document(5))
    slowly = {"failCommands": ["find"], "appName": "sync", "blockConnection": True, "blockTimeMS": 10_000}
    slow = {"configureFailPoint": "failCommand", "data": slowly}
    own = mongo_client(f"{settings.mongodb_url}&appname=sync")
    async with syncing(own[settings.mongodb_database], cache, always) as metrics, following(settings) as rules:
        await until(rules, caller(), {"r": 5})
        await database.client.admin.command({**slow, "mode": "alwaysOn"})
        since = (await database.command({"insert": "marks", "documents": [{}]}))["operationTime"]
        try:
            await eventually(lambda: a_copy_reads(database, since), 30, "a copy has begun that will take long")
            copied_at = metrics.copied_at._value.get()
            for limit in range(6, 10):
                await database["rules"].update_one({"_id": "r"}, {"$set": {"limit": limit}})
                await until(rules, caller(), {"r": limit})
            assert metrics.copied_at._value.get() == copied_at, "the copy takes as long as the test says"
        finally:
            await database.client.admin.command({**slow, "mode": "off"})
    own.close()


async def a_copy_reads(database: MongoDatabase, since: Timestamp) -> bool:
    """Whether a copy of what was there at this time or later waits for the rules."""
    reads = {"command.find": "rules", "command.readConcern.atClusterTime": {"$gte": since}}
    stages: list[dict[str, Any]] = [
        {"$currentOp": {"allUsers": True}},
        {"$match": {"command.$db": database.name} | reads},
    ]
    return bool(await database.client.admin.aggregate(stages).to_list(1))


@pytest.mark.parametrize("how", ["drop", "rename"])
async def test_a_collection_that_goes_takes_its_rules_along(
    database: MongoDatabase, cache: Redis, settings: Settings, how: str
) -> None:
    await database["rules"].insert_one({"_id": "r"} | document(5))
    async with syncing(database, cache, settings), following(settings) as rules:
        await until(rules, caller(), {"r": 5})
        await (database["rules"].drop() if how == "drop" else database["rules"].rename("others"))
        await until(rules, caller(), {})

        async def validated() -> bool:
            found = await database.command("listCollections", filter={"name": "rules"})
            return any("validator" in one["options"] for one in found["cursor"]["firstBatch"])

        await eventually(validated, 20, "the collection has its validator again")
        await database["rules"].insert_one({"_id": "s"} | document(7))
        await until(rules, caller(), {"s": 7})


async def test_a_primary_that_steps_down(database: MongoDatabase, cache: Redis, settings: Settings) -> None:
    await database["rules"].insert_one({"_id": "r"} | document(5))
    async with syncing(database, cache, settings), following(settings) as rules:
        await until(rules, caller(), {"r": 5})
        step_down = {"replSetStepDown": 1, "secondaryCatchUpPeriodSecs": 0, "force": True}
        await database.client.admin.command(step_down)
        await persistently(lambda: database["rules"].update_one({"_id": "r"}, {"$set": {"limit": 6}}))
        await until(rules, caller(), {"r": 6})


async def test_mongodb_away_and_back(
    cache: Redis, settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    store = rules_store(tmp_path / "mongodb", port)
    client = mongo_client(store.url, server_selection_timeout_s=1)
    database = client["penstock"]
    try:
        with started(store, tmp_path / "mongod.log") as first:
            await mongodb_is_ready(port)
            await RuleStore(database).setup()
            await database["rules"].insert_many([{"_id": "r"} | document(5), {"_id": "s"} | document(1, key_value="v")])
            async with syncing(database, cache, settings) as metrics, following(settings) as rules:
                await until(rules, caller(), {"r": 5})
                first.kill()
                first.wait()
                await asyncio.sleep(5)
                assert await limits(rules, caller()) == {"r": 5}, "what is known stays in force"
                assert metrics.interruptions._value.get() <= 5, "fewer than one retry a second"
                with started(store, tmp_path / "mongod-again.log"):
                    await mongodb_is_ready(port)
                    back_at = time.monotonic()
                    await persistently(lambda: database["rules"].delete_one({"_id": "s"}))
                    await persistently(lambda: database["rules"].update_one({"_id": "r"}, {"$set": {"limit": 6}}))
                    await until(rules, caller(), {"r": 6})
                    await until(rules, caller("v"), {})
                    took = time.monotonic() - back_at
                    print(f"in force {took:.1f} s after its return")
                    assert took < 15
        gc.collect()
        assert "never retrieved" not in caplog.text, "an error of one part is not lost among those of the others"
    finally:
        client.close()


async def test_the_last_good_version_outlives_an_emptied_cache_and_a_restart(
    database: MongoDatabase, cache: Redis, settings: Settings
) -> None:
    await database["rules"].insert_one({"_id": "r"} | document(5))
    async with syncing(database, cache, settings) as metrics, following(settings) as rules:
        await until(rules, caller(), {"r": 5})
        await database["rules"].update_one({"_id": "r"}, {"$set": {"limit": 6}})
        await until(rules, caller(), {"r": 6})
        await database["rules"].update_one({"_id": "r"}, {"$set": {"cost": 99}})
        await eventually(lambda: metrics.invalid._value.get() >= 1, 20, "the change has been read")
    await cache.flushall()
    async with syncing(database, cache, settings) as metrics, following(settings) as rules:
        await until(rules, caller(), {"r": 6})
        assert metrics.invalid_now._value.get() == 1
        (kept,) = (await RuleStore(database).last_good(["r"])).values()
        assert kept.limit == 6
        await database["rules"].update_one({"_id": "r"}, {"$set": {"cost": 2, "limit": 7}})
        await until(rules, caller(), {"r": 7})
        await database["rules"].delete_one({"_id": "r"})
        await until(rules, caller(), {})

        async def forgotten() -> bool:
            return not await RuleStore(database).last_good(["r"])

        await eventually(forgotten, 20, "a deleted rule has no last good version")


async def test_a_stream_goes_on_where_it_was_left(database: MongoDatabase, cache: Redis, settings: Settings) -> None:
    async with syncing(database, cache, settings), following(settings) as rules:
        for limit in (5, 6):
            await database["rules"].replace_one({"_id": "r"}, document(limit), upsert=True)
            await until(rules, caller(), {"r": limit})
            await asyncio.sleep(1.1)
        await database["rules"].replace_one({"_id": "r"}, document(7))
        await until(rules, caller(), {"r": 7})

        async def kept() -> bool:
            return bool(await database["sync_state"].find_one({"_id": "rules"}))

        await eventually(kept, 20, "the token is kept")
    await database["sync_state"].update_one({"_id": "rules"}, {"$set": {"token": {"_data": "82000000"}}})
    async with syncing(database, cache, settings), following(settings) as rules:
        await database["rules"].replace_one({"_id": "r"}, document(8))
        await until(rules, caller(), {"r": 8})


async def test_a_sync_worker_that_slept_brings_no_old_rule_back(settings: Settings, tmp_path: Path) -> None:
    async with running(settings, tmp_path, edges=1, workers=0) as system:
        other = system.spawn("sync")
        await system.ready(other)
        for name in ("kept", "changed", "deleted"):
            await system.put_rule(name, key_type="user", key_value=name, limit=1, window_seconds=60)
        for name in ("kept", "changed", "deleted"):
            await system.rule_is_known(name, name)
        other.kill(signal.SIGSTOP)
        await system.put_rule("changed", key_type="user", key_value="changed", limit=2, window_seconds=60)
        await system.rules.delete_one({"_id": "deleted"})
        await asyncio.sleep(5)
        await system.put_rule("changed", key_type="user", key_value="changed", limit=3, window_seconds=60)
        async with Redis.from_url(settings.cache_redis_url) as redis:
            await redis.flushall()  # even so: the tombstones are gone, the floor is not
            await eventually(lambda: redis.exists(VERSION), 30, "the rules are in the cache again")
        await system.rule_is_known("kept", "kept")

        async def is_in_force() -> bool:
            return await limit_of(system, "changed") == 3

        await eventually(is_in_force, 30, "the other sync worker has published the last change")
        other.kill(signal.SIGCONT)
        until_s = time.monotonic() + 5
        while time.monotonic() < until_s:
            assert await limit_of(system, "deleted") is None
            assert await limit_of(system, "changed") == 3
            assert await limit_of(system, "kept") == 1


async def limit_of(system: Any, user: str) -> int | None:  # noqa: ANN401
    limits = (await system.request("GET", "/_penstock/limits", user)).json()["limits"]
    return limits[0]["limit"] if limits else None
