"""Rules about secret header values, written and read through the admin API: the value goes in, and never comes out."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pymongo.errors import WriteError
from redis.asyncio import Redis

from app.clients import mongo_client
from app.redis_wire.scripts import Scripts
from app.rules.model import editable_fields, parse_rule
from app.rules.secret_values import hashed
from app.rules.store import RuleStore
from sync.publisher import Publisher
from tests.support.admin_in_process import Admin, admin_running
from tests.support.rules import publish_all

SECRET = "0123456789abcdef0123456789abcdef"
PLAIN = "sk-live-4711-plain"
HASH = hashed(PLAIN.encode(), SECRET.encode())
RULE: dict[str, Any] = {
    "rule_id": "one",
    "key_type": "header:x-api-key",
    "key_value": PLAIN,
    "secret": True,
    "limit": 5,
    "window_seconds": 60,
}


@pytest.fixture
async def admin(
    mongod_url: str, cache: Redis, queue: Redis, counting: Scripts, queueing: Scripts
) -> AsyncIterator[Admin]:
    keyed = {"key_headers": "x-api-key", "key_secret": SECRET}
    async with admin_running(mongod_url, cache, queue, counting, queueing, **keyed) as running:
        await RuleStore(running.rules.database).setup()
        yield running


async def test_a_round_trip(admin: Admin, cache: Redis, mongod_url: str, capfd: pytest.CaptureFixture[str]) -> None:
    answers = [await admin("POST", "/v1/rules", RULE)]
    assert answers[0].status_code == 201
    assert answers[0].json()["key_value"] == HASH
    read = (await admin("GET", "/v1/rules/one")).json()
    assert read["key_value"] == HASH
    again = await admin("PUT", "/v1/rules/one", read)
    assert (again.status_code, again.json()["key_value"]) == (200, HASH), "what was read can be written again"
    answers += [again, await admin("PATCH", "/v1/rules/one", {"limit": 6})]
    assert answers[-1].json()["key_value"] == HASH
    answers.append(await admin("PATCH", "/v1/rules/one", {"key_value": "sk-live-0815-plain"}))
    assert answers[-1].json()["key_value"] == hashed(b"sk-live-0815-plain", SECRET.encode())
    bulk = {"rules": [RULE, RULE | {"rule_id": "two"}]}
    answers += [await admin("PUT", "/v1/rules?dry_run=true", bulk), await admin("PUT", "/v1/rules", bulk)]
    assert answers[-1].status_code == 200
    answers.append(await admin("PUT", "/v1/rules", bulk))
    assert {one["outcome"] for one in answers[-1].json()["outcomes"]} == {"unchanged"}
    answers += [await admin("PUT", "/v1/rules/one/drain/pause"), await admin("GET", "/v1/rules")]
    assert answers[-1].json()["rules"][0]["key_value"] == HASH
    await publish_all(
        Publisher(cache), [parse_rule(editable_fields(fields)) for fields in answers[-1].json()["rules"]], 1
    )
    for value, rules in ((PLAIN, ["one"]), ("other", [])):
        explained = await admin("POST", "/v1/explain", {"headers": {"X-Api-Key": value}})
        assert [rule["rule_id"] for rule in explained.json()["rules"]] == rules
        answers.append(explained)
    assert answers[-2].json()["rules"][0]["descriptor"] == f"header:x-api-key:{HASH}"
    for answer in answers:
        assert "-plain" not in answer.text
    mongo = mongo_client(mongod_url)
    database = mongo[admin.rules.database.name]
    for name in await database.list_collection_names():
        async for document in database[name].find():
            assert "-plain" not in str(document), name
    mongo.close()
    shown = capfd.readouterr()
    assert "-plain" not in shown.out + shown.err


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"key_type": "header:x-other"}, "PENSTOCK_KEY_HEADERS"),
        ({"limit": 0}, "limit"),
        ({"key_value": PLAIN + "\n"}, "key_value"),
        ({"key_value": [PLAIN]}, "key_value"),
        ({"secret": PLAIN}, "secret"),
        ({"unknown": PLAIN}, "unknown"),
        ({"key_type": PLAIN}, "key_type"),
    ],
)
async def test_a_refusal_does_not_tell_the_value(
    admin: Admin, change: dict[str, Any], problem: str, capfd: pytest.CaptureFixture[str]
) -> None:
    for method, path, body in (
        ("POST", "/v1/rules", RULE | change),
        ("PUT", "/v1/rules/one", RULE | change),
        ("PUT", "/v1/rules", {"rules": [RULE | change]}),
    ):
        answer = await admin(method, path, body)
        assert answer.status_code == 422
        assert problem in answer.json()["detail"]
        assert PLAIN not in answer.text
    assert await admin.rules.find_one() is None
    shown = capfd.readouterr()
    assert PLAIN not in shown.out + shown.err


async def test_a_plain_rule_does_not_become_one_by_a_hash(admin: Admin) -> None:
    await admin("POST", "/v1/rules", RULE)
    answer = await admin("PATCH", "/v1/rules/one", {"secret": False})
    assert (answer.status_code, "the hash of a secret" in answer.json()["detail"]) == (422, True)


async def test_mongodb_itself_refuses_a_plain_value(admin: Admin) -> None:
    document = {"_id": "one"} | {name: value for name, value in RULE.items() if name != "rule_id"}
    for wrong in (PLAIN, HASH[:-1], HASH + "0", ""):
        with pytest.raises(WriteError):
            await admin.rules.insert_one(document | {"key_value": wrong})
    for number, right in enumerate((HASH, "*")):
        await admin.rules.insert_one(document | {"_id": f"r{number}", "key_value": right})
    await admin.rules.insert_one(document | {"_id": "plain", "secret": False})
    composite = document | {"key_type": ["ip", "header:x-api-key"]}
    for wrong in (PLAIN, HASH + "0"):
        with pytest.raises(WriteError):
            await admin.rules.insert_one(composite | {"_id": "c", "key_value": ["*", wrong]})
    for number, right in enumerate((HASH, "*")):
        await admin.rules.insert_one(composite | {"_id": f"c{number}", "key_value": ["10.0.0.1", right]})


async def test_composite_keys_round_trip(admin: Admin, cache: Redis) -> None:
    by_both = RULE | {"key_type": ["claim:tenant", "header:x-api-key"], "key_value": ["acme", PLAIN]}
    written = await admin("POST", "/v1/rules", by_both)
    assert (written.status_code, written.json()["key_value"]) == (201, ["acme", HASH])
    again = await admin("PUT", "/v1/rules/one", written.json())
    assert (again.status_code, again.json()["key_value"]) == (200, ["acme", HASH])
    patched = await admin("PATCH", "/v1/rules/one", {"key_value": ["*", PLAIN]})
    assert patched.json()["key_value"] == ["*", HASH]
    refused = await admin("PATCH", "/v1/rules/one", {"key_value": ["*"]})
    assert (refused.status_code, "key_value" in refused.json()["detail"]) == (422, True)
    await publish_all(Publisher(cache), [parse_rule(editable_fields(patched.json()))], 1)
    request = {"user": "u", "claims": {"tenant": "acme"}, "headers": {"X-Api-Key": PLAIN}}
    explained = (await admin("POST", "/v1/explain", request)).json()
    assert [rule["descriptor"] for rule in explained["rules"]] == [f"claim:tenant:acme&header:x-api-key:{HASH}"]
    del request["claims"]
    assert (await admin("POST", "/v1/explain", request)).json()["rules"] == []


async def test_an_index_of_before_does_not_stand_in_the_way_of_composite_keys(admin: Admin) -> None:
    await admin.rules.create_index([("key_type", 1), ("key_value", 1)])
    await RuleStore(admin.rules.database).setup()
    by_both = RULE | {"key_type": ["user", "header:x-api-key"], "key_value": ["*", "*"]}
    assert (await admin("POST", "/v1/rules", by_both)).status_code == 201


async def test_without_the_settings_a_rule_is_refused_by_their_names(
    mongod_url: str, cache: Redis, queue: Redis, counting: Scripts, queueing: Scripts
) -> None:
    async with admin_running(mongod_url, cache, queue, counting, queueing) as admin:
        answer = await admin("POST", "/v1/rules", RULE)
        assert (answer.status_code, "PENSTOCK_KEY_HEADERS" in answer.json()["detail"]) == (422, True)
    async with admin_running(mongod_url, cache, queue, counting, queueing, key_headers="x-api-key") as admin:
        answer = await admin("POST", "/v1/rules", RULE)
        assert (answer.status_code, "PENSTOCK_KEY_SECRET" in answer.json()["detail"]) == (422, True)
