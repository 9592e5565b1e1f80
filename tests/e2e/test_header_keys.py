"""Rules by headers on a running system: sync, edge, worker and admin process, and everything that they write."""

import asyncio
import os
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from app.clients import cache_redis, mongo_client, queue_redis
from app.rules.secret_values import hashed
from app.settings import Settings
from tests.e2e.test_edge_memory import edge_pid, memory
from tests.support.ports import free_port
from tests.support.system import System, running
from tests.support.waiting import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("header_keys")]

SECRET = "0123456789abcdef0123456789abcdef"
PLAIN = "sk-live-4711-plain"
SEVERAL = int(os.environ.get("PENSTOCK_TEST_CALLERS", "10000")) * 6 // 5
AT_ONCE = 100


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def system(module_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    keyed: dict[str, Any] = {
        "PENSTOCK_KEY_HEADERS": "x-api-key,x-partner-key",
        "PENSTOCK_KEY_SECRET": SECRET,
        "PENSTOCK_RULE_CACHE_SIZE": "1000",
        "PENSTOCK_RULES_TIMEOUT_MS": "10000",  # a busy machine is no cache Redis that is away
        "PENSTOCK_RETRY_BASE_S": "0.1",
    }
    async with running(module_settings, tmp_path_factory.mktemp("keys"), **keyed) as system:
        yield system


async def in_force(system: System, rule_id: str, **headers: str) -> None:
    async def known() -> bool:
        answer = await system.request("GET", "/_penstock/limits", headers={"Connection": "close"} | headers)
        return answer.names(rule_id)

    await eventually(known, 30, f"{rule_id} is in force")


async def statuses(system: System, count: int, **headers: str) -> list[int]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return [(await system.request("GET", "/", headers=named)).status for _ in range(count)]


async def test_an_api_key_has_its_own_limit(system: System) -> None:
    few = {"key_type": "header:x-api-key", "window_seconds": 3600}
    await system.put_rule("keys", **few, key_value="*", limit=2)
    await system.put_rule("big", **few, key_value="big-customer", limit=4)
    await in_force(system, "keys", **{"X-Api-Key": "any"})
    await in_force(system, "big", **{"X-Api-Key": "big-customer"})
    assert await statuses(system, 3, X_Api_Key="small") == [200, 200, 429]
    assert await statuses(system, 5, X_Api_Key="big-customer") == [200] * 4 + [429]
    assert await statuses(system, 3) == [200] * 3
    refused = await system.request("GET", "/", headers={"X-Api-Key": "small"})
    assert refused.json()["violated-policies"] == ["keys"]


async def test_a_composite_key_defers_and_drains(system: System) -> None:
    few = {"limit": 1, "window_seconds": 3600, "on_limit": "defer", "drain": {"limit": 50, "window_seconds": 1}}
    # A slot that a busy worker misses is given up, and the rule of keys has a second one only after half an hour.
    await system.put_rule("keys", key_type="header:x-api-key", key_value="*", limit=1000, window_seconds=3600)
    await system.put_rule("both", key_type=["user", "header:x-api-key"], key_value=["*", "*"], **few)
    bearer = system.auth("carol")
    await in_force(system, "both", **{"X-Api-Key": "any"}, **bearer)
    answers = [
        await system.request("POST", "/both", headers={"X-Api-Key": key} | bearer) for key in ("one", "two", "one")
    ]
    assert [answer.status for answer in answers] == [200, 200, 202]
    job = await system.ended(answers[-1].json()["id"], "carol")
    assert (job["status"], job["rule_id"]) == ("succeeded", "both")


async def test_a_rule_that_sync_cannot_use_is_reported_and_the_last_one_stays(system: System) -> None:
    await system.put_rule("other", key_type="header:x-other", key_value="*", limit=1, window_seconds=60)
    log = next(system.log_dir.glob("sync-*.log"))

    async def reported() -> bool:
        return "PENSTOCK_KEY_HEADERS" in log.read_text()

    await eventually(reported, 30, "sync names the setting")
    assert await statuses(system, 3, X_Other="a") == [200] * 3
    await system.rules.delete_one({"_id": "other"})


async def test_the_value_of_a_secret_key_is_nowhere(system: System, module_settings: Settings) -> None:
    """It goes in by the admin API and by requests; it is deferred, drained, fails, and is explained."""
    port = free_port()
    admin = system.spawn("admin", "--port", str(port))
    await system.ready(admin)

    async def asked(method: str, path: str, body: Any) -> Any:  # noqa: ANN401
        token = system.issuer.token("ops", aud="penstock-admin", penstock_role="admin")
        bearer = {"Authorization": f"Bearer {token}"}
        url = f"http://127.0.0.1:{port}/v1{path}"
        async with system.http.request(method, url, json=body, headers=bearer) as response:
            assert response.status < 300, await response.text()
            return await response.json()

    partner = {"rule_id": "partner", "key_type": "header:x-partner-key", "secret": True, "key_value": PLAIN}
    drained = {"on_limit": "defer", "drain": {"limit": 50, "window_seconds": 1}, "queue": {"max_attempts": 1}}
    written = await asked("POST", "/rules", partner | drained | {"limit": 1, "window_seconds": 3600})
    assert written["key_value"] == hashed(PLAIN.encode(), SECRET.encode())
    await in_force(system, "partner", **{"X-Partner-Key": PLAIN})
    who = {"X-Partner-Key": PLAIN, "X-Kept": "yes"}
    answers = [await system.request("POST", f"/partner?status={status}", headers=who) for status in (200, 200, 500)]
    assert [answer.status for answer in answers] == [200, 202, 202]
    for answer, status in zip(answers[1:], ("succeeded", "failed"), strict=True):
        assert (await system.ended(answer.json()["id"], "anybody"))["status"] == status
    live, *drained_requests = [one for one in await system.arrivals() if "/partner" in str(one)]
    assert {name.lower(): value for name, value in live["headers"].items()}["x-partner-key"] == PLAIN
    for one in drained_requests:
        names = {name.lower() for name in one["headers"]}
        assert "x-kept" in names
        assert "x-partner-key" not in names, "it is a credential, and not stored"
    explained = await asked("POST", "/explain", {"headers": {"X-Partner-Key": PLAIN}, "method": "POST"})
    assert [rule["rule_id"] for rule in explained["rules"]] == ["partner"]
    assert PLAIN not in str(explained)
    assert PLAIN not in str(await asked("GET", "/dead-letters", None)) + str(await asked("GET", "/rules", None))
    stored = await all_that_is_stored(module_settings)
    assert "x-kept" in stored
    assert written["key_value"] in stored
    assert PLAIN not in stored
    for file in system.log_dir.glob("*.log"):
        assert PLAIN not in file.read_text(), file
    for part in system.parts:
        if part.ops_url and part.role != "app server":
            async with system.http.get(f"{part.ops_url}/metrics") as response:
                assert PLAIN not in await response.text()


async def all_that_is_stored(settings: Settings) -> str:
    """Every key, value and document of the three stores."""
    found: list[object] = []
    for store in (cache_redis(settings), queue_redis(settings)):
        async for name in store.scan_iter("*"):
            found += [name, await _content(store, name)]
        await store.aclose()
    mongo = mongo_client(settings.mongodb_url)
    database = mongo[settings.mongodb_database]
    for collection in await database.list_collection_names():
        found += [document async for document in database[collection].find()]
    mongo.close()
    return str(found)


async def _content(store: Redis, name: bytes) -> object:
    match await store.type(name):
        case b"string":
            return await store.get(name)
        case b"hash":
            return await store.hgetall(name)
        case b"zset":
            return await store.zrange(name, 0, -1)
        case b"set":
            return await store.smembers(name)
        case b"stream":
            return await store.xrange(name)
        case kind:
            raise AssertionError(kind)


async def test_values_that_clients_make_up_leave_memory_bounded(system: System) -> None:
    """An edge remembers the last 20,000 checks, about 1 KiB each, and the rules of 1000 values; nothing else stays.

    tests/scale/test_bounded_memory.py holds that memory does not grow once they are full.
    """
    await system.put_rule("keys", key_type="header:x-api-key", key_value="*", limit=2, window_seconds=3600)
    await in_force(system, "keys", **{"X-Api-Key": "any"})
    pid, chance = edge_pid(system), random.Random(17)
    for _ in range(2000 // AT_ONCE):
        await made_up(system, chance)
    before = memory(pid)
    for _ in range(SEVERAL // AT_ONCE):
        await made_up(system, chance)
    assert memory(pid) - before < SEVERAL * 2048
    assert await statuses(system, 3, X_Api_Key="still") == [200, 200, 429]


async def made_up(system: System, chance: random.Random) -> None:
    """Requests with keys of 16 to 500 characters, over one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", system.edge_port)
    for number in range(AT_ONCE):
        key = chance.randbytes(chance.randrange(8, 250)).hex()
        last = "Connection: close\r\n" if number == AT_ONCE - 1 else ""
        writer.write(f"GET / HTTP/1.1\r\nHost: x\r\nX-Api-Key: {key}\r\n{last}\r\n".encode())
    answers = await asyncio.wait_for(reader.read(), 60)
    writer.close()
    assert answers.count(b"HTTP/1.1 200 ") == AT_ONCE


async def test_nothing_of_the_settings_is_written(system: System) -> None:
    for file in system.log_dir.glob("*.log"):
        assert SECRET not in file.read_text(), file
