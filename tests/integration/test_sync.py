"""Rules from MongoDB to an in-process cache: a real mongod, a real Redis, one or two sync workers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from bson import ObjectId
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from app.clients import MongoDatabase, cache_redis, mongo_client
from app.errors import RulesUnavailable
from app.rules import keys
from app.rules.cache import RuleCache
from app.rules.model import Rule, parse_rule
from app.rules.store import RuleStore
from app.settings import Settings
from sync import reconcile
from sync.archive import Archive
from sync.cache_copy import CacheCopy
from sync.plan import RuleChange, revision_of
from sync.publisher import Publisher
from sync.reconcile import copy_all
from sync.resume import ResumeToken
from sync.watcher import SyncMetrics, Watcher
from tests.support.rules import OPS, publish_all
from tests.support.sync_steps import caller, document, following, limits, until
from tests.support.waiting import eventually

WITHIN_S = 20.0


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[MongoDatabase]:
    client = mongo_client(settings.mongodb_url)
    yield client[settings.mongodb_database]
    client.close()


@pytest.fixture
async def publisher(cache: Redis) -> Publisher:
    return Publisher(cache)


@asynccontextmanager
async def syncing(database: MongoDatabase, publisher: Publisher, settings: Settings) -> AsyncIterator[SyncMetrics]:
    metrics = SyncMetrics(CollectorRegistry())
    stop, ready = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(Watcher(database, publisher, settings, metrics).run(stop, ready))
    try:
        await asyncio.wait_for(ready.wait(), WITHIN_S)
        yield metrics
    finally:
        stop.set()
        await asyncio.wait_for(task, WITHIN_S)


async def test_every_kind_of_change_reaches_the_cache(
    database: MongoDatabase,
    publisher: Publisher,
    settings: Settings,
) -> None:
    rules = database["rules"]
    await rules.insert_one({"_id": "before"} | document(1))
    async with syncing(database, publisher, settings), following(settings) as cache:
        await until(cache, caller(), {"before": 1})
        await rules.delete_one({"_id": "before"})
        await until(cache, caller(), {})
        await rules.insert_one({"_id": "r"} | document(5))
        await until(cache, caller(), {"r": 5})
        await rules.update_one({"_id": "r"}, {"$set": {"limit": 6}})
        await until(cache, caller(), {"r": 6})
        await rules.update_one({"_id": "r"}, {"$set": {"enabled": False}})
        await until(cache, caller(), {})
        await rules.update_one({"_id": "r"}, {"$set": {"enabled": True}})
        await until(cache, caller(), {"r": 6})
        await rules.update_one({"_id": "r"}, {"$set": {"key_value": "v"}})
        await until(cache, caller(), {})
        await until(cache, caller("v"), {"r": 6})
        await rules.replace_one({"_id": "r"}, document(7, key_type="ip", key_value="10.0.0.0/8"))
        await until(cache, caller(), {"r": 7})
        await rules.replace_one({"_id": "r"}, document(8, key_type="claim:tier", key_value="gold"))
        await until(cache, caller(), {})
        await until(cache, caller(tier="gold"), {"r": 8})
        assert (await cache.by_id("r")) is not None
        await rules.delete_one({"_id": "r"})
        await until(cache, caller(tier="gold"), {})
        assert await cache.by_id("r") is None


async def test_a_bad_document_never_replaces_a_good_one(
    database: MongoDatabase,
    publisher: Publisher,
    settings: Settings,
) -> None:
    rules = database["rules"]
    await rules.insert_one({"_id": "r"} | document(5))
    async with syncing(database, publisher, settings) as metrics, following(settings) as cache:
        await until(cache, caller(), {"r": 5})
        await rules.update_one({"_id": "r"}, {"$set": {"cost": 99}})  # above the burst: no schema can say that

        async def counted() -> bool:
            return bool(metrics.invalid._value.get() >= 1)

        await eventually(counted, WITHIN_S, "the bad document is counted")
        assert await limits(cache, caller()) == {"r": 5}
        async with Archive(database, ResumeToken(database)) as archive:
            assert (await copy_all(database, publisher, archive, lambda *_: None)).invalid == 1
        assert await limits(cache, caller()) == {"r": 5}, "nor does a full copy remove it"
        await rules.update_one({"_id": "r"}, {"$set": {"cost": 1, "limit": 9}})
        await until(cache, caller(), {"r": 9})


async def test_an_emptied_cache_is_filled_again(
    database: MongoDatabase,
    publisher: Publisher,
    settings: Settings,
    cache: Redis,
) -> None:
    await database["rules"].insert_one({"_id": "r"} | document(5))
    async with syncing(database, publisher, settings), following(settings) as rules:
        await until(rules, caller(), {"r": 5})
        before = int(await cache.get(keys.VERSION) or 0)
        await cache.flushall()
        assert await limits(rules, caller()) == {"r": 5}, "the last known rules stay in force"

        async def filled() -> bool:
            return bool(await publisher.is_complete())

        print(f"filled again after {await eventually(filled, WITHIN_S, 'filled again') * 1000:.0f} ms")
        assert int(await cache.get(keys.VERSION) or 0) > before
        await until(rules, caller("new"), {})
        assert await limits(rules, caller()) == {"r": 5}


async def test_no_version_means_unavailable(settings: Settings, cache: Redis) -> None:
    async with following(settings) as rules:
        with pytest.raises(RulesUnavailable):
            await rules.applicable(caller(), "GET", ("/",))
        with pytest.raises(RulesUnavailable):
            await rules.by_id("r")
        assert not rules.has_rules


async def test_a_full_copy_removes_what_is_gone_and_late_events_do_not_return(
    publisher: Publisher, cache: Redis
) -> None:
    a, b = rule("a"), rule("b")
    await publish_all(publisher, [a, b], 100)
    await publish_all(publisher, [a], 200)
    assert await published(cache) == ["a"]
    assert await publisher.publish([RuleChange("b", 150, b)]) == 0, "an event from before the copy"
    await cache.flushall()
    await publish_all(publisher, [a], 300)
    assert await publisher.publish([RuleChange("b", 250, b), RuleChange("a", 250, rule("a", limit=9))]) == 0
    assert await published(cache) == ["a"]
    assert await publisher.publish([RuleChange("b", 301, b)]) == 1
    assert await published(cache) == ["a", "b"]
    assert await publisher.publish([RuleChange("b", 302, None)]) == 1
    assert await publisher.publish([RuleChange("b", 301, b)]) == 0, "a tombstone stands in its way"


async def test_a_cache_that_was_emptied_during_a_copy_is_not_called_complete(
    publisher: Publisher, cache: Redis
) -> None:
    await publish_all(publisher, [rule("a"), rule("b")], 100)
    copying = await CacheCopy.begin(publisher, 200)
    await cache.flushall()
    assert await copying.add([rule("a"), rule("b")], 200) == 0, "as far as it knows they are there"
    with pytest.raises(RulesUnavailable):
        await copying.end()
    assert not await publisher.is_complete()


async def test_two_sync_workers_at_once_agree_on_the_latest(settings: Settings) -> None:
    patient = settings.model_copy(update={"cache_timeout_ms": 20_000.0})  # more than a hundred connect at once
    redis, other_redis = cache_redis(patient), cache_redis(patient)
    publisher, other = Publisher(redis), Publisher(other_redis)
    await publish_all(publisher, [], 1)
    revisions = list(range(2, 60))
    work = []
    for revision in revisions:
        for each in (publisher, other):
            changes = [RuleChange(f"r{i}", revision, rule(f"r{i}", limit=revision)) for i in range(revision % 5, 5)]
            work.append(each.publish(changes))
    await asyncio.gather(*reversed(work))
    async with following(settings) as rules:
        for i in range(5):
            found = await rules.by_id(f"r{i}")
            assert found is not None
            latest = max(revision for revision in revisions if revision % 5 <= i)
            assert (found.rule.limit, found.revision) == (latest, latest)
    await redis.aclose()
    await other_redis.aclose()


async def test_the_cache_is_bounded_and_keeps_negative_entries(
    publisher: Publisher, settings: Settings, cache: Redis
) -> None:
    await publish_all(publisher, [rule("r")], 1)
    small = settings.model_copy(update={"rule_cache_size": 100})
    rules = RuleCache(cache, small)
    for number in range(300):
        assert await limits(rules, caller(f"nobody{number}")) == {}
    assert len(rules._entries) <= 100
    assert await limits(rules, caller("nobody299")) == {}
    commands = (await cache.info("commandstats"))["cmdstat_get"]["calls"]
    assert await limits(rules, caller("nobody299")) == {}
    assert (await cache.info("commandstats"))["cmdstat_get"]["calls"] == commands, "known without asking"


async def test_one_read_for_many_who_ask_at_once(publisher: Publisher, settings: Settings, cache: Redis) -> None:
    await publish_all(publisher, [rule("r")], 1)
    rules = RuleCache(cache, settings)
    await limits(rules, caller("warm"))
    await cache.config_resetstat()
    found = await asyncio.gather(*(limits(rules, caller("u")) for _ in range(50)))
    assert found == [{"r": 5}] * 50
    stats = await cache.info("commandstats")
    assert stats["cmdstat_get"]["calls"] <= 4, "the version, and each key once"


async def test_everything_is_read_again_after_a_missed_message(
    publisher: Publisher, settings: Settings, cache: Redis
) -> None:
    await publish_all(publisher, [rule("r"), rule("s", key_value="v")], 1)
    async with following(settings) as rules:
        await until(rules, caller(), {"r": 5})
        await until(rules, caller("v"), {"s": 5})
        told: list[frozenset[str] | None] = []
        rules.on_change(told.append)
        # A change that nobody announced; then one that is: the gap in the versions gives it away.
        content = await cache.get("rule:user:u")
        assert isinstance(content, bytes)
        await cache.set("rule:user:u", content.replace(b'"limit":5', b'"limit":6'))
        await cache.incr(keys.VERSION)
        await publisher.publish([RuleChange("s", 2, rule("s", key_value="v", limit=7))])
        await until(rules, caller("v"), {"s": 7})
        await until(rules, caller(), {"r": 6})
        assert None in told


async def test_everything_is_read_again_after_a_lost_connection(
    publisher: Publisher, settings: Settings, cache: Redis
) -> None:
    await publish_all(publisher, [rule("r")], 1)
    async with following(settings) as rules:
        await until(rules, caller(), {"r": 5})
        content = await cache.get("rule:user:u")
        assert isinstance(content, bytes)
        await cache.set("rule:user:u", content.replace(b'"limit":5', b'"limit":6'))
        assert await cache.execute_command("CLIENT", "KILL", "TYPE", "pubsub") >= 1  # type: ignore[no-untyped-call]
        await until(rules, caller(), {"r": 6})


async def test_many_rules_are_copied(
    database: MongoDatabase, publisher: Publisher, settings: Settings, cache: Redis
) -> None:
    many = 3000
    await database["rules"].insert_many({"_id": f"r{i}"} | document(key_value=f"u{i}") for i in range(many))
    async with syncing(database, publisher, settings), following(settings) as rules:
        await until(rules, caller(f"u{many - 1}"), {f"r{many - 1}": 5})
        assert len(await published(cache)) == many


async def test_a_copy_that_outlives_its_snapshot_goes_on_from_a_newer_one(
    database: MongoDatabase, publisher: Publisher, cache: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MongoDB forgets a snapshot after five minutes; here each batch of two takes too long."""
    monkeypatch.setattr(reconcile, "BATCH_SIZE", 2)
    monkeypatch.setattr(reconcile, "MAX_SNAPSHOT_AGE_S", -1.0)
    rules = database["rules"]
    await rules.insert_many({"_id": f"r{i:02}"} | document(key_value=f"u{i}") for i in range(1, 21))
    strange: list[Any] = [None, 7, ObjectId(), {"a": 1}, True]  # ids of other types, before and after text
    await rules.insert_many({"_id": one} | document() for one in strange)
    refused: list[str] = []

    async def meanwhile(rule_id: str) -> None:
        """Once the copy has come to this one: changes before it and after it."""
        if rule_id == "r10":
            await rules.insert_one({"_id": "r00"} | document(1))
            now = revision_of(await reconcile._cluster_time(database))
            change = RuleChange("r00", now, rule("r00", limit=1))
            assert await publisher.publish([change]) == 1  # as the stream does
            await archive.add([change], None)
            await rules.update_one({"_id": "r17"}, {"$set": {"limit": 99}})
            await rules.delete_one({"_id": "r15"})

    async with Archive(database, ResumeToken(database)) as archive:
        add_copied = archive.add_copied

        async def adding(some: list[Rule], revision: int) -> None:
            await add_copied(some, revision)
            for one in some:
                await meanwhile(one.rule_id)

        monkeypatch.setattr(archive, "add_copied", adding)
        copied = await copy_all(database, publisher, archive, lambda document: refused.append(document.key.name))
        await archive.recorded()
    assert [version["rule"] is None async for version in database["rules_history"].find({"rule_id": "r00"})] == [False]
    there = [f"r{i:02}" for i in range(21) if i != 15]
    assert await published(cache) == there
    assert (copied.rules, copied.changed, copied.invalid) == (19, 19, len(strange))
    assert refused == ["null None", "int 7", "object {'a': 1}", f"ObjectId {strange[2]}", "boolean True"]
    active = await RuleCache(cache, Settings()).by_id("r17")
    assert active is not None
    assert active.rule.limit == 99


async def test_the_store_keeps_versions(database: MongoDatabase) -> None:
    store = RuleStore(database)
    await store.setup()
    await store.setup()
    first = await store.put(rule("r"), OPS)
    second = await store.put(rule("r", limit=6), OPS)
    assert (first.version, second.version, second.updated_by) == (1, 2, "ops")
    assert (await store.get("r")).limit == 6
    results = await asyncio.gather(*(store.put(rule("r", limit=7 + i), OPS) for i in range(10)))
    assert sorted(result.version for result in results) == list(range(3, 13))


def rule(rule_id: str, **fields: Any) -> Any:  # noqa: ANN401
    return parse_rule({"rule_id": rule_id} | document(**fields))


async def published(cache: Redis) -> list[str]:
    found = await cache.hgetall(keys.STATE)
    del found[keys.EPOCH_FIELD.encode()]
    return sorted(str(name, "utf-8") for name, state in found.items() if b'"bucket":null' not in bytes(state))  # type: ignore[arg-type]


async def test_sync_says_how_far_it_is_behind(
    database: MongoDatabase, publisher: Publisher, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = Watcher(database, publisher, settings, SyncMetrics(CollectorRegistry()))
    assert watcher.report() == {"lag_s": None}
    publish, goes_on = publisher.publish, asyncio.Event()

    async def held_up(changes: Any) -> int:  # noqa: ANN401 - as the publisher takes them
        await goes_on.wait()
        return await publish(changes)

    def lags(at_least_s: float, at_most_s: float) -> Any:  # noqa: ANN401 - what `eventually` awaits
        async def found() -> bool:
            return at_least_s <= (watcher.report()["lag_s"] or 0) <= at_most_s

        return found

    stop, ready = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(watcher.run(stop, ready))
    await asyncio.wait_for(ready.wait(), WITHIN_S)
    await eventually(lags(0.0, 1.0), WITHIN_S, "nothing is left to publish, though nothing has changed")
    assert watcher.report()["invalid_documents"] == 0
    monkeypatch.setattr(publisher, "publish", held_up)
    await database["rules"].insert_one({"_id": "r"} | document(1))
    await eventually(lags(2.0, WITHIN_S), WITHIN_S, "a change is not published")
    goes_on.set()
    await eventually(lags(0.0, 1.0), WITHIN_S, "it is published")
    stop.set()
    await asyncio.wait_for(task, WITHIN_S)
