"""What MongoDB itself refuses, by a validator made from the model."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pymongo.errors import OperationFailure

from app.clients import MongoDatabase, mongo_client
from app.errors import InvalidRule
from app.rules.model import parse_rule
from app.rules.store import RuleStore
from app.settings import Settings
from tests.support.rules import OPS, RULE

FULL = {
    "rule_id": "full",
    "key_type": "claim:tier",
    "key_value": "gold",
    "limit": 50,
    "window_seconds": 0.5,
    "burst": 20,
    "algorithm": "gcra",
    "limits": [
        {"limit": 1000, "window_seconds": 60, "burst": 10},
        {"limit": 9000, "window_seconds": 86_400, "algorithm": "sliding_window"},
    ],
    "cost": 2,
    "priority": -3,
    "enabled": False,
    "match": {
        "methods": ["GET"],
        "path_prefix": "/api",
        "claims": {"plan": ["pro", "team"], "https://issuer.test/tenant": 42, "beta": True},
        "anonymous": False,
    },
    "on_limit": "defer",
    "drain": {"limit": 5, "window_seconds": 1, "burst": 2},
    "paused": True,
    "queue": {
        "max_depth": 5,
        "max_wait_seconds": 10,
        "overtaking": True,
        "on_delete": "reject",
        "drop_headers": ["X-A"],
    },
    "shadow": True,
    "on_store_failure": "open",
    "action": "defer",
    "headroom_ms": 250,
}


@pytest.fixture(scope="module")
def prepared(module_settings: Settings) -> Settings:
    """Settings of a database whose collections, validator and indexes are there."""

    async def prepare() -> None:
        client = mongo_client(module_settings.mongodb_url)
        await RuleStore(client[module_settings.mongodb_database]).setup()
        client.close()

    asyncio.run(prepare())
    return module_settings


@pytest.fixture
async def database(prepared: Settings) -> AsyncIterator[MongoDatabase]:
    client = mongo_client(prepared.mongodb_url)
    database = client[prepared.mongodb_database]
    for name in await database.list_collection_names():
        await database[name].delete_many({})
    yield database
    client.close()


async def test_what_the_model_allows_mongodb_allows(database: MongoDatabase) -> None:
    store = RuleStore(database)
    default = {"rule_id": "d", "key_type": "default"}
    for fields in (RULE, FULL, default | {"limit": 1, "window_seconds": 1}, default | {"action": "block"}):
        written = await store.put(parse_rule(fields), OPS)
        assert await store.get(written.rule_id) == written


async def test_doubles_that_are_integers_are_integers(database: MongoDatabase) -> None:
    await database["rules"].insert_one(
        {"_id": "r", "key_type": "user", "key_value": "u", "limit": 5.0, "window_seconds": 60}
    )
    assert (await RuleStore(database).get("r")).limit == 5


YEAR_S = 366 * 86_400
ACROSS_FIELDS: list[dict[str, Any]] = [
    {"window_seconds": 1e-300},
    {"window_seconds": 0.0009},
    {"window_seconds": YEAR_S + 1},
    {"window_seconds": float("nan")},
    {"limit": 5001, "window_seconds": 0.005},
    {"limit": 1, "window_seconds": YEAR_S, "burst": 11},
    {"limit": 1, "window_seconds": YEAR_S, "burst": 10**9, "cost": 10**9},
    {"algorithm": "sliding_window", "limit": 10_001},
    {"drain": {"limit": 1001, "window_seconds": 0.001}},
    {"drain": {"limit": 1, "window_seconds": YEAR_S, "burst": 11}},
    {"match": {"path_prefix": "/a?b"}},
    {"cost": {"header": "X Cost"}},
    {"cost": {"header": "X-Cost", "default": 0}},
    {"cost": {"header": "X-Cost", "max": 1.5}},
    {"cost": {"header": "X-Cost", "more": 1}},
    {"cost": [1]},
    {"limits": [{"limit": 5001, "window_seconds": 0.005}]},
    {"concurrency": 10_001},
    {"concurrency": 5, "limit": None},
    {"concurrency": 5, "limit": None, "window_seconds": None, "limits": [{"limit": 1, "window_seconds": 9}]},
    {"algorithm": "concurrency"},
    {"action": "block", "concurrency": 5},
    {"limits": [{"limit": 5, "window_seconds": 1}, {"limit": 1, "window_seconds": YEAR_S, "burst": 11}]},
    {"limits": [{"limit": 10_001, "window_seconds": 2, "algorithm": "sliding_window"}]},
    {"limit": None},
    {"window_seconds": None},
    {"action": "defer", "limit": None},
    {"action": "defer", "on_limit": "reject"},
    {"action": "block", "on_limit": "defer"},
    {"action": "allow", "drain": {"limit": 1, "window_seconds": 1}},
    {"action": "allow", "limits": [{"limit": 5, "window_seconds": 1}]},
    {"headroom_ms": 1001, "limits": [{"limit": 5, "window_seconds": 1}]},
    {"limits": [{"limit": 0, "window_seconds": 1}]},
    {"action": "deny"},
    {"action": None},
    {"headroom_ms": -1},
    {"headroom_ms": 60_001, "window_seconds": 3600},
    {"headroom_ms": 1001, "window_seconds": 1},
    {"headroom_ms": 1001, "drain": {"limit": 1, "window_seconds": 1}},
    {"headroom_ms": 60_000, "limit": 1, "window_seconds": YEAR_S, "burst": 10},
]
CORNERS: list[dict[str, Any]] = [
    {"limit": 10**9, "window_seconds": 1000},
    {"limit": 10**9, "window_seconds": YEAR_S, "burst": 10**9, "cost": 10**9},
    {"limit": 1000, "window_seconds": 0.001},
    {"limit": 1, "window_seconds": YEAR_S, "burst": 10, "cost": 10},
    {"limit": 1.0, "window_seconds": 1.0, "burst": None},
    {"algorithm": "sliding_window", "limit": 10_000, "cost": 10_000, "burst": 1},
    {"drain": {"limit": 1, "window_seconds": YEAR_S, "burst": 10}, "cost": 5},
    {"drain": None},
    {"cost": {"header": "X-Cost", "default": 2.0, "max": 5}},
    {"cost": {"header": "X-Cost", "max": None}},
    {"limits": None},
    {"concurrency": 5},
    {"concurrency": 10_000.0, "limit": None, "window_seconds": None},
    {"drain": {"limit": 5, "window_seconds": 1, "concurrency": 2}},
    {"limits": [{"limit": 1.0, "window_seconds": 7.0, "burst": None}]},
    {"limits": [{"limit": 10_000, "window_seconds": 1, "algorithm": "sliding_window", "burst": 1}]},
    {"action": "block", "limit": None, "window_seconds": None},
    {"action": "block", "limit": 5, "cost": 5, "paused": True},
    {"action": "allow", "on_limit": "reject", "drain": None, "queue": {}},
    {"action": "defer"},
    {"action": "defer", "on_limit": "defer", "drain": {"limit": 1, "window_seconds": 1}},
    {"headroom_ms": 60_000.0, "window_seconds": 60},
    {"headroom_ms": 1000, "drain": {"limit": 1, "window_seconds": 1}},
]


@pytest.mark.parametrize("change", ACROSS_FIELDS)
def test_the_model_refuses_what_the_validator_refuses(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidRule):
        parse_rule(RULE | change)


@pytest.mark.parametrize("change", CORNERS)
async def test_corners_are_accepted_by_both(database: MongoDatabase, change: dict[str, Any]) -> None:
    parse_rule(RULE | change)
    document = {"_id": "r"} | {name: value for name, value in RULE.items() if name != "rule_id"}
    await database["rules"].insert_one(document | change)


@pytest.mark.parametrize(
    "change",
    [
        {"limit": "many"},
        {"limits": []},
        {"limits": {"limit": 5, "window_seconds": 1}},
        {"limits": [{"limit": 5}]},
        {"limits": [{"limit": 0, "window_seconds": 1}]},
        {"limits": [{"limit": 5, "window_seconds": 1, "more": 1}]},
        {"limits": ["5/s"]},
        {"limit": 0},
        {"limit": 1.5},
        {"limit": True},
        {"window_seconds": 0},
        {"key_value": {"$gt": ""}},
        {"on_limit": "wait"},
        {"more": 1},
        {"drain": {"limit": 1}},
        {"queue": {"max_depth": "deep"}},
        {"queue": {"more": 1}},
        {"match": {"path_prefix": "api"}},
        {"version": 0},
        *ACROSS_FIELDS,
    ],
)
async def test_what_is_no_rule_is_refused_at_the_door(database: MongoDatabase, change: dict[str, Any]) -> None:
    document = {"_id": "r"} | {name: value for name, value in RULE.items() if name != "rule_id"}
    with pytest.raises(OperationFailure):
        await database["rules"].insert_one(document | change)
    await database["rules"].insert_one(document)
    with pytest.raises(OperationFailure):
        await database["rules"].update_one({"_id": "r"}, {"$set": change})
    assert (await RuleStore(database).get("r")).limit == 5


async def test_its_queries_have_indexes(database: MongoDatabase) -> None:
    keys = [list(index["key"].items()) async for index in database["rules"].list_indexes()]
    assert [("key_type", 1)] in keys
    assert [("key_value", 1)] in keys
