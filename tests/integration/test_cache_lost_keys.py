"""Keys that the cache Redis loses are never "no limits", and sync writes them again, whichever they are."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
import structlog
from redis.asyncio import Redis

from app.clients import MongoDatabase, cache_redis, mongo_client
from app.errors import RulesUnavailable
from app.rules import keys
from app.rules.cache import RuleCache
from app.rules.model import parse_rule
from app.settings import Settings
from sync.plan import RuleChange
from sync.publisher import Publisher
from tests.support.rules import RULE, publish_all
from tests.support.sync_steps import caller, document, following, limits, syncing, until
from tests.support.waiting import eventually

RULES: dict[str, dict[str, Any]] = {
    "bob": {"key_value": "bob"},
    "everybody": {"key_value": "*", "match": {"path_prefix": "/x"}},
    "net": {"key_type": "ip", "key_value": "10.0.0.0/8"},
    "tier": {"key_type": "claim:tier", "key_value": "gold"},
}
LOST = ["rule:user:bob", "rule:ip:10.0.0.0/8", "rule:claim:tier:gold", keys.STATE, keys.INDEX, keys.BUCKETS, keys.EPOCH,
        keys.VERSION, keys.FLOOR]  # fmt: skip


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[MongoDatabase]:
    client = mongo_client(settings.mongodb_url)
    yield client[settings.mongodb_database]
    client.close()


async def content(cache: Redis) -> dict[str, object]:
    """What the cache holds of the rules, apart from what differs from one epoch to the next."""
    found: dict[str, object] = {}
    for name in sorted([one async for one in cache.scan_iter("rule*")]):
        if await cache.type(name) == b"hash":
            fields = await cache.hgetall(name)
            found[name.decode()] = {field: value for field, value in fields.items() if field != b":epoch"}
        elif name.startswith(b"rule:"):
            found[name.decode()] = [
                {field: value for field, value in rule.items() if field != "revision"}
                for rule in orjson.loads(await cache.get(name) or b"[]")
            ]
    return found


def comparable(found: dict[str, object]) -> dict[str, object]:
    return {name: value if isinstance(value, list) else sorted(value) for name, value in found.items()}  # type: ignore[call-overload]


@pytest.mark.parametrize("lost", LOST)
async def test_what_is_lost_comes_back(database: MongoDatabase, cache: Redis, settings: Settings, lost: str) -> None:
    await database["rules"].insert_many({"_id": name} | document(5, **fields) for name, fields in RULES.items())
    async with syncing(database, cache, settings), following(settings) as rules:
        who = caller("bob", tier="gold")
        await until(rules, who, {"bob": 5, "net": 5, "tier": 5})
        before = comparable(await content(cache))
        assert await cache.delete(lost) == 1
        assert await limits(rules, who) == {"bob": 5, "net": 5, "tier": 5}, "what is known stays in force"

        async def whole() -> bool:
            return await publisher.is_complete() and comparable(await content(cache)) == before

        publisher = Publisher(cache)
        await eventually(whole, 20, f"{lost} is written again")
        await database["rules"].update_one({"_id": "bob"}, {"$set": {"limit": 6}})
        await until(rules, who, {"bob": 6, "net": 5, "tier": 5})


@pytest.mark.parametrize("lost", [keys.STATE, keys.INDEX, keys.BUCKETS, keys.VERSION])
async def test_an_edge_that_knows_nothing_has_no_answer_without_a_hash(
    settings: Settings, cache: Redis, lost: str
) -> None:
    await publish_all(Publisher(cache), [parse_rule(RULE | {"key_type": "ip", "key_value": "10.0.0.0/8"})], 1)
    assert await limits(RuleCache(cache, settings), caller()) == {"r": 5}
    await cache.delete(lost)
    fresh = RuleCache(cache, settings)
    with pytest.raises(RulesUnavailable):
        await (fresh.by_id("r") if lost == keys.STATE else fresh.applicable(caller(), "GET", ("/",)))


async def test_an_edge_that_does_not_know_a_lost_rule_has_no_answer(settings: Settings, cache: Redis) -> None:
    publisher = Publisher(cache)
    await publish_all(publisher, [parse_rule(RULE | {"rule_id": "bob", "key_value": "bob"})], 1)
    assert await limits(RuleCache(cache, settings), caller("bob")) == {"bob": 5}
    await cache.delete("rule:user:bob")
    fresh = RuleCache(cache, settings)
    with pytest.raises(RulesUnavailable, match="has lost rule:user:bob"):
        await fresh.applicable(caller("bob"), "GET", ("/",))
    assert await limits(fresh, caller("alice")) == {}, "nobody else is concerned"
    await publisher.publish([RuleChange("bob", 2, None)])
    assert await limits(fresh, caller("bob")) == {}


@pytest.mark.parametrize("damage", [b"[]", b"nonsense", b'[{"rule_id":"x"}]'])
async def test_a_damaged_key_is_written_again(
    database: MongoDatabase, cache: Redis, settings: Settings, damage: bytes
) -> None:
    await database["rules"].insert_many(
        [{"_id": f"r{i}"} | document(5 + i, match={"path_prefix": f"/{i}"}) for i in range(300)]
    )
    async with syncing(database, cache, settings):
        before = await cache.get("rule:user:u")
        assert before is not None
        assert len(orjson.loads(before)) == 300
        await cache.set("rule:user:u", damage)

        async def repaired() -> bool:
            now = await cache.get("rule:user:u")
            assert now is not None
            assert now == damage or len(now) == len(before), "all of it in one step"
            return now != damage

        await eventually(repaired, 20, "it is written again")


async def test_sync_says_when_the_cache_may_evict(database: MongoDatabase, settings: Settings, cache: Redis) -> None:
    with structlog.testing.capture_logs() as logs:
        async with syncing(database, cache, settings) as metrics:
            assert metrics.cache_may_evict._value.get() == 0
        assert not [line for line in logs if line["event"] == "cache_may_evict"]
        other = cache_redis(settings)
        await other.config_set("maxmemory-policy", "allkeys-lru")
        try:
            await cache.flushall()
            async with syncing(database, cache, settings) as metrics:
                assert metrics.cache_may_evict._value.get() == 1
        finally:
            await other.config_set("maxmemory-policy", "noeviction")
            await other.aclose()
        assert [line["maxmemory_policy"] for line in logs if line["event"] == "cache_may_evict"] == ["allkeys-lru"]
