"""Rules with schedules: what is published is what is in force, and it changes when a window begins and ends."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson.timestamp import Timestamp
from pymongo.errors import WriteError
from redis.asyncio import Redis

from app.clients import MongoDatabase, mongo_client
from app.errors import RulesUnavailable
from app.rules.in_force import describe
from app.rules.store import RuleStore
from app.settings import Settings
from sync.plan import RuleChange
from sync.publisher import Publisher
from sync.reconcile import advanced_time, changes_now
from tests.support.rules import RULE
from tests.support.sync_steps import caller, following, syncing, until
from tests.support.waiting import eventually


def soon(
    begins_s: float, ends_s: float, limit: int = 7, now: datetime | None = None, **fields: object
) -> dict[str, Any]:
    """A window that begins and ends so many seconds from now."""
    begin, end = ((now or datetime.now(UTC)) + timedelta(seconds=seconds) for seconds in (begins_s, ends_s))
    window = {"from": f"{begin:%H:%M:%S}", "to": f"{end:%H:%M:%S}", "limit": {"limit": limit, "window_seconds": 60}}
    return window | fields


def document(*windows: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in RULE.items() if name != "rule_id"} | {"_id": "r", "schedule": [*windows]}


def far() -> dict[str, Any]:
    """A window that begins after every test."""
    return soon(7200, 10_800)


async def revision_of(rules: Any) -> int:  # noqa: ANN401 - a RuleCache
    (match,) = await rules.applicable(caller(), "GET", ("/",))
    return int(match.rule.revision)


@pytest.mark.alone
async def test_a_window_that_begins_in_two_seconds_is_in_force_then_and_until_it_ends(
    settings: Settings, cache: Redis
) -> None:
    client = mongo_client(settings.mongodb_url)
    database = client[settings.mongodb_database]
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(syncing(database, cache, settings))
        rules = await stack.enter_async_context(following(settings))
        await database["rules"].insert_one(document(far()))
        await until(rules, caller(), {"r": 5})
        before, now = await revision_of(rules), datetime.now(UTC)
        begins = now.replace(microsecond=0) + timedelta(seconds=2)
        await database["rules"].update_one({"_id": "r"}, {"$set": {"schedule": [soon(2, 6, now=now)]}})
        await until(rules, caller(), {"r": 7})
        assert datetime.now(UTC) >= begins
        during = await revision_of(rules)
        (match,) = await rules.applicable(caller(), "GET", ("/",))
        found = describe(match.rule.whole_rule(), datetime.now(UTC))
        assert (found.source, found.rule.limit) == ("schedule", 7)
        assert found.until == begins + timedelta(seconds=4)
        await until(rules, caller(), {"r": 5})
        assert before < during < await revision_of(rules), "counters convert what is owed when the rate changes"
        assert await database["rules_history"].count_documents({}) == 2, "a window is no new version"
    client.close()


async def test_what_is_in_force_is_published_after_everything_was_lost(settings: Settings, cache: Redis) -> None:
    client = mongo_client(settings.mongodb_url)
    database = client[settings.mongodb_database]
    await database["rules"].insert_one(document(soon(-60, 3600)))
    async with following(settings) as rules, syncing(database, cache, settings):
        await until(rules, caller(), {"r": 7})
        await cache.flushall()
        await until(rules, caller(), {"r": 7})
        await database["rules"].update_one({"_id": "r"}, {"$set": {"schedule.0.limit.limit": 8}})
        await until(rules, caller(), {"r": 8})
        await database["rules"].update_one({"_id": "r"}, {"$unset": {"schedule": 1}})
        await until(rules, caller(), {"r": 5})
    client.close()


async def test_a_window_begins_while_no_sync_runs_and_is_in_force_once_one_does(
    settings: Settings, cache: Redis
) -> None:
    """MongoDB's cluster time stands still meanwhile, because nothing is written."""
    client = mongo_client(settings.mongodb_url)
    database = client[settings.mongodb_database]
    async with following(settings) as rules:
        async with syncing(database, cache, settings):
            await database["rules"].insert_one(document(far()))
            await until(rules, caller(), {"r": 5})
        await database["rules"].update_one({"_id": "r"}, {"$set": {"schedule": [soon(1, 3600)]}})
        await asyncio.sleep(1)
        async with syncing(database, cache, settings):
            await until(rules, caller(), {"r": 7})
    client.close()


async def test_the_last_good_version_follows_its_schedule_while_the_document_is_invalid(
    settings: Settings, cache: Redis
) -> None:
    client = mongo_client(settings.mongodb_url)
    database = client[settings.mongodb_database]
    async with syncing(database, cache, settings), following(settings) as rules:
        await database["rules"].insert_one(document(far()))
        await until(rules, caller(), {"r": 5})
        await database["rules"].update_one({"_id": "r"}, {"$set": {"schedule": [soon(3, 3600)]}})

        async def recorded() -> bool:
            return await database["rules_history"].count_documents({}) == 2

        await eventually(recorded, 20, "the schedule is part of the last good version")
        await database["rules"].update_one({"_id": "r"}, {"$set": {"cost": 50}}, bypass_document_validation=True)
        await until(rules, caller(), {"r": 7})
    client.close()


async def test_a_window_that_begins_while_the_cache_is_away_is_in_force_afterwards(
    settings: Settings, cache: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only with the next full copy."""
    client = mongo_client(settings.mongodb_url)
    database = client[settings.mongodb_database]
    publish, refused = Publisher.publish, 0

    async def away_at_first(publisher: Publisher, changes: Sequence[RuleChange]) -> int:
        nonlocal refused
        if refused == 0 and any(change.rule is not None and change.rule.limit == 7 for change in changes):
            refused += 1
            raise RulesUnavailable("The cache Redis is away.")
        return await publish(publisher, changes)

    monkeypatch.setattr(Publisher, "publish", away_at_first)
    async with syncing(database, cache, settings), following(settings) as rules:
        await database["rules"].insert_one(document(far()))
        await until(rules, caller(), {"r": 5})
        await database["rules"].update_one({"_id": "r"}, {"$set": {"schedule": [soon(2, 3600)]}})
        await until(rules, caller(), {"r": 7})
    assert refused == 1
    client.close()


async def test_rules_are_read_when_mongodbs_clock_says_that_a_window_begins(
    settings: Settings, cache: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock of sync that is an hour ahead costs a small write at a time, and not a look at every rule."""
    client = mongo_client(settings.mongodb_url)
    database = client[settings.mongodb_database]
    looks, asked = 0, asyncio.Event()

    class Ahead(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Ahead":  # noqa: ANN401
            return super().now(tz) + timedelta(hours=1)

    async def time_asked(of: MongoDatabase) -> Timestamp:
        asked.set()
        return await advanced_time(of)

    async def looked(*arguments: Any) -> list[RuleChange]:  # noqa: ANN401
        nonlocal looks
        looks += 1
        return await changes_now(*arguments)

    monkeypatch.setattr("sync.watcher.datetime", Ahead)
    monkeypatch.setattr("sync.watcher.advanced_time", time_asked)
    monkeypatch.setattr("sync.watcher.changes_now", looked)
    await database["rules"].insert_one(document(soon(1800, 7200)))
    async with syncing(database, cache, settings):
        for _ in range(3):
            asked.clear()
            await asyncio.wait_for(asked.wait(), 20)
    assert looks == 0
    client.close()


async def test_mongodb_takes_schedules_and_temporary_values_and_refuses_wrong_ones(settings: Settings) -> None:
    client = mongo_client(settings.mongodb_url)
    database: MongoDatabase = client[settings.mongodb_database]
    await RuleStore(database).setup()
    rules = database["rules"]
    night = {"days": ["fri"], "from": "22:00", "to": "06:00", "timezone": "Europe/Berlin"}
    change = {"until": datetime(2026, 1, 1, tzinfo=UTC), "previous": {"drain": None}}
    await rules.insert_one(document(night | {"drain": {"limit": 1, "window_seconds": 1}}) | {"temporary": [change]})
    stored = await RuleStore(database).get("r")
    assert (stored.schedule or [])[0].from_ == "22:00"
    await rules.delete_many({})
    right = night | {"drain": {"limit": 1, "window_seconds": 1}}
    wrong_windows: list[Any] = [
        5,
        None,
        "x",
        {},
        night,
        night | {"drain": 5},
        right | {"more": 1},
        [right],
    ]
    wrong_fields: list[dict[str, Any]] = [{"days": []}, {"days": ["x"]}, {"from": 5}, {"to": "x"}]
    wrong_windows += [right | changed for changed in wrong_fields]
    wrong: list[dict[str, Any]] = [{"schedule": [window]} for window in wrong_windows]
    wrong += [
        {"schedule": []},
        {"schedule": 5},
        {"schedule": [right] * 17},
        {"temporary": 5},
        {"temporary": [5]},
    ]
    wrong += [{"temporary": [change | changed]} for changed in ({"until": 5}, {"previous": 5}, {"more": 1})]
    for fields in wrong:
        with suppress(WriteError):  # or sync finds it invalid
            await rules.insert_one(document(right) | {"_id": "w"} | fields)
            _, (invalid,) = await RuleStore(database).all()
            assert invalid.problem.startswith(tuple(fields)), (fields, invalid.problem)
            await rules.delete_one({"_id": "w"})
    assert await rules.count_documents({}) == 0
    client.close()
