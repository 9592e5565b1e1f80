"""Temporary values end by themselves, once, whoever set them and whatever has been restarted since."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import Decimal128, ObjectId, Regex, Timestamp
from redis.asyncio import Redis

from app.audit.log import AuditFilter, AuditLog
from app.rules.store import RuleStore, StoredRule
from app.settings import Settings
from sync.temporary_values import TemporaryValues
from tests.support.admin_in_process import Admin
from tests.support.rules import RULE
from tests.support.sync_steps import syncing
from tests.support.waiting import eventually

SLOW, FAST = ({"limit": limit, "window_seconds": 1} for limit in (1, 50))


async def shown(admin: Admin) -> dict[str, Any]:
    found: dict[str, Any] = (await admin("GET", "/v1/rules/r")).json()
    return found


async def is_over(admin: Admin) -> bool:
    return "temporary" not in await shown(admin)


async def make_due(admin: Admin) -> None:
    await admin.rules.update_one({"_id": "r"}, {"$set": {"temporary.0.until": datetime(2026, 1, 1, tzinfo=UTC)}})


async def audited(admin: Admin) -> list[tuple[str, str, str]]:
    found, _ = await AuditLog(admin.rules.database).page(AuditFilter(target="r"), None, 100)
    return [(one["actor"], one["face"], one["action"]) for one in reversed(found)]


@pytest.mark.parametrize(
    ("method", "path", "body", "changed"),
    [
        ("PUT", "/v1/rules/r/drain", FAST, {"drain": FAST}),
        ("POST", "/v1/rules/r/drain/pause", None, {"paused": True}),
        ("PATCH", "/v1/rules/r", {"limit": 9, "burst": 3}, {"limit": 9, "burst": 3}),
    ],
    ids=["drain", "pause", "limit"],
)
async def test_a_temporary_value_is_over_in_time_and_the_audit_says_so(
    admin: Admin, settings: Settings, cache: Redis, method: str, path: str, body: object, changed: dict[str, Any]
) -> None:
    await admin("POST", "/v1/rules", RULE | {"drain": SLOW})
    before = await shown(admin)
    async with AsyncExitStack() as stack:
        for _ in range(2):  # of two sync workers one does it
            await stack.enter_async_context(syncing(admin.rules.database, cache, settings))
        start = datetime.now(UTC)
        answer = await admin(method, f"{path}?for_seconds=1", body)
        assert answer.status_code == 200, answer.text
        assert answer.json().items() >= changed.items()
        until = datetime.fromisoformat(answer.json()["temporary"][0]["until"])
        assert timedelta(seconds=0.9) < until - start < timedelta(seconds=20)
        await eventually(lambda: is_over(admin), 30, "the value is over")
        assert datetime.now(UTC) >= until
        await asyncio.sleep(1)  # for the other sync worker
    after = await shown(admin)
    assert (after["version"], after["updated_by"]) == (3, "penstock")
    assert after | {"version": 0, "updated_at": 0, "updated_by": 0} == before | {
        "version": 0,
        "updated_at": 0,
        "updated_by": 0,
    }
    first, second, third = await audited(admin)
    assert (first[0], second[0], third) == ("ops", "ops", ("penstock", "process", "rule.reverted"))


async def test_a_value_that_another_sync_worker_ends_first_is_ended_once(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    await admin("POST", "/v1/rules", RULE)
    await admin("PUT", "/v1/rules/r/drain?for_seconds=600", FAST)
    await make_due(admin)
    first, second = TemporaryValues(admin.rules.database), TemporaryValues(admin.rules.database)
    find = RuleStore.find

    async def after_the_first(store: RuleStore, rule_id: str) -> StoredRule:
        """The second worker has seen that the rule is due, and reads it once the first is done."""
        monkeypatch.setattr(RuleStore, "find", find)
        await first.end_due()
        return await store.find(rule_id)

    monkeypatch.setattr(RuleStore, "find", after_the_first)
    await second.end_due()
    assert (await shown(admin))["version"] == 3
    assert [action for _, _, action in await audited(admin)].count("rule.reverted") == 1


async def test_what_was_due_while_nothing_ran_is_over_once_sync_runs(
    admin: Admin, settings: Settings, cache: Redis
) -> None:
    await admin("POST", "/v1/rules", RULE)
    await admin("PUT", "/v1/rules/r/drain?for_seconds=600", FAST)
    async with syncing(admin.rules.database, cache, settings):
        assert (await shown(admin))["drain"] == FAST
    await make_due(admin)
    async with syncing(admin.rules.database, cache, settings):
        await eventually(lambda: is_over(admin), 30, "the value is over")
    assert "drain" not in await shown(admin)


async def test_what_an_operator_changes_meanwhile_stays(admin: Admin, settings: Settings, cache: Redis) -> None:
    await admin("POST", "/v1/rules", RULE)
    await admin("PUT", "/v1/rules/r/drain?for_seconds=600", FAST)
    for method, path, body in [
        ("PATCH", "/v1/rules/r", {"limit": 6}),
        ("PUT", "/v1/rules/r", RULE | {"limit": 7, "drain": FAST}),
        ("PUT", "/v1/rules", {"rules": [RULE | {"limit": 8, "drain": FAST}]}),
        ("POST", "/v1/rules/r/drain/pause", None),
    ]:
        assert (await admin(method, path, body)).status_code == 200
        assert (await shown(admin))["temporary"], f"{method} {path} does not change the drain rate"
    await make_due(admin)
    async with syncing(admin.rules.database, cache, settings):
        await eventually(lambda: is_over(admin), 30, "the value is over")
    found = await shown(admin)
    assert ("drain" in found, found["limit"], found["paused"]) == (False, 8, True)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/v1/rules/r/drain", FAST),
        ("PUT", "/v1/rules/r/drain", SLOW),
        ("DELETE", "/v1/rules/r/drain", None),
        ("PATCH", "/v1/rules/r", {"drain": {"limit": 50}}),
        ("PUT", "/v1/rules/r", RULE),
        ("PUT", "/v1/rules", {"rules": [RULE | {"drain": SLOW}]}),
    ],
)
async def test_a_change_of_the_value_itself_ends_it(admin: Admin, method: str, path: str, body: object) -> None:
    await admin("POST", "/v1/rules", RULE)
    await admin("PUT", "/v1/rules/r/drain?for_seconds=600", FAST)
    answer = await admin(method, path, body)
    assert answer.status_code == 200, answer.text
    assert "temporary" not in await shown(admin)


async def test_what_cannot_return_stays_and_the_audit_says_so(admin: Admin, settings: Settings, cache: Redis) -> None:
    """Somebody changed the document past the admin API, which refuses this."""
    await admin("POST", "/v1/rules", RULE)
    await admin("PATCH", "/v1/rules/r?for_seconds=600", {"burst": 9})
    assert (await admin("PATCH", "/v1/rules/r", {"cost": 7})).status_code == 422
    await admin.rules.update_one({"_id": "r"}, {"$set": {"cost": 7, "temporary.0.until": datetime.now(UTC)}})
    async with syncing(admin.rules.database, cache, settings):
        await eventually(lambda: is_over(admin), 30, "the value is over")
    assert (await shown(admin))["burst"] == 9
    assert (await audited(admin))[-1] == ("penstock", "process", "rule.not_reverted")


async def test_a_document_that_is_no_rule_keeps_no_other_from_returning(
    admin: Admin, settings: Settings, cache: Redis
) -> None:
    await admin("POST", "/v1/rules", RULE)
    await admin("PUT", "/v1/rules/r/drain?for_seconds=600", FAST)
    change = {"until": datetime(2020, 1, 1, tzinfo=UTC), "previous": {"drain": None}}
    await admin.rules.insert_many(
        [
            {"_id": "bad", "temporary": [change]},
            {"_id": 5, "temporary": [change]},
            {"_id": "odd", "key_type": "user", "key_value": "u", "limit": 1, "window_seconds": 1, "temporary": change},
        ]
    )
    await make_due(admin)
    async with syncing(admin.rules.database, cache, settings):
        await eventually(lambda: is_over(admin), 30, "the value is over")


async def test_values_that_json_cannot_express_are_an_invalid_document_and_stop_nothing(
    admin: Admin, settings: Settings, cache: Redis
) -> None:
    await admin("POST", "/v1/rules", RULE)
    await admin("PUT", "/v1/rules/r/drain?for_seconds=600", FAST)
    values = [float("nan"), float("inf"), b"\xff", Timestamp(1, 1), ObjectId(), Decimal128("NaN"), Regex("a")]
    key = {name: value for name, value in RULE.items() if name != "rule_id"}
    for number, value in enumerate(values):
        change = {"until": datetime(2020, 1, 1, tzinfo=UTC), "previous": {"paused": value}}
        await admin.rules.insert_one({"_id": f"odd{number}", **key, "temporary": [change]})
    await make_due(admin)
    async with syncing(admin.rules.database, cache, settings):
        await eventually(lambda: is_over(admin), 30, "the value is over")
        listed = (await admin("GET", "/v1/rules")).json()
    assert [rule["rule_id"] for rule in listed["rules"]] == ["r"]
    assert len(listed["invalid"]) == len(values)


async def test_what_could_not_end_is_not_looked_at_all_the_time(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    change = {"until": datetime(2020, 1, 1, tzinfo=UTC), "previous": {"drain": None}}
    await admin.rules.insert_many([{"_id": f"bad{number}", "temporary": [change]} for number in range(50)])
    looked_at: list[str] = []
    find = RuleStore.find

    async def counted(store: RuleStore, rule_id: str) -> StoredRule:
        looked_at.append(rule_id)
        return await find(store, rule_id)

    monkeypatch.setattr(RuleStore, "find", counted)
    monkeypatch.setattr("sync.temporary_values.RETRY_INTERVAL_S", 3600.0)
    values = TemporaryValues(admin.rules.database)
    for _ in range(4):
        await values.end_due()
    assert len(looked_at) == 50
    monkeypatch.setattr("sync.temporary_values.RETRY_INTERVAL_S", 0.0)
    monkeypatch.setattr("sync.temporary_values.RETRIES_PER_S", 1e9)
    await values.end_due()
    assert len(looked_at) == 100, "and it is tried again"


@pytest.mark.parametrize(
    ("query", "body", "status"),
    [
        ("for_seconds=0", {"limit": 6}, 422),
        ("for_seconds=2592001", {"limit": 6}, 422),
        ("for_seconds=x", {"limit": 6}, 422),
        ("for_seconds=60", {"priority": 6}, 422),
        ("for_seconds=60", {"temporary": None, "limit": 6}, 200),
    ],
)
async def test_wrong_times_and_other_fields_are_refused(
    admin: Admin, query: str, body: dict[str, Any], status: int
) -> None:
    await admin("POST", "/v1/rules", RULE)
    assert (await admin("PATCH", f"/v1/rules/r?{query}", body)).status_code == status


async def test_a_rule_that_is_not_in_force_cannot_be_paused_for_a_while(admin: Admin) -> None:
    """Its flows are told of the pause, and nothing would tell them of the end."""
    await admin("POST", "/v1/rules", RULE | {"enabled": False})
    answer = await admin("POST", "/v1/rules/r/drain/pause?for_seconds=60")
    assert answer.status_code == 409
    assert "paused" not in await shown(admin)
    assert (await admin("POST", "/v1/rules/none/drain/pause?for_seconds=60")).status_code == 404


async def test_due_values_are_found_by_an_index(admin: Admin) -> None:
    await RuleStore(admin.rules.database).setup()
    await admin.rules.insert_many(
        [
            {"_id": f"r{number}", "key_type": "user", "key_value": "u", "limit": 1, "window_seconds": 1}
            for number in range(100)
        ]
    )
    await admin("POST", "/v1/rules", RULE)
    await admin("PUT", "/v1/rules/r/drain?for_seconds=600", FAST)
    due = {"_id": {"$type": "string"}, "temporary.until": {"$lte": datetime.now(UTC)}}
    explained = await admin.rules.database.command(
        {"explain": {"find": "rules", "filter": due}, "verbosity": "executionStats"}
    )
    assert explained["executionStats"]["totalDocsExamined"] == 0
