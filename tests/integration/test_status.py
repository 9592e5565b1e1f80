"""The status on real stores: heartbeats, stores, backlog."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from app.admin.services.flow_index import FlowIndex
from app.admin.services.paused import PausedCounts, PausedFlows
from app.admin.services.status_gathering import StatusGathering
from app.admin.services.status_model import DrainStatus
from app.admin.services.stores import UNJOURNALED, Stores
from app.clients import mongo_client, queue_scripts
from app.errors import QueueUnavailable
from app.process import heartbeat as module
from app.process.heartbeat import ProcessHeartbeat, read_heartbeats
from app.queue import keys
from app.queue.backlog import read_backlog
from app.queue.flow_settings import FlowSettingStore
from app.queue.flow_views import FlowViews
from app.queue.flows import Flows
from app.rules.paused_rules import PausedRules
from app.settings import Settings
from tests.support.admin_in_process import Admin
from tests.support.ports import free_port
from tests.support.waiting import eventually


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a store that answers late is none that is away."""
    for module_name in ("paused", "status_gathering", "stores"):
        monkeypatch.setattr(f"app.admin.services.{module_name}.ANSWER_WITHIN_S", 30.0)


async def test_a_process_is_known_by_its_heartbeats_until_it_ends(cache: Redis) -> None:
    counted = {"forward": 0}
    beating = ProcessHeartbeat(cache, "edge", lambda: {"rules_version": 7}, lambda: counted)
    await beating.beat()
    [found] = await read_heartbeats(cache)
    assert 0 <= found.age_s < 5
    assert {name: found.said[name] for name in ("role", "rules_version", "rates_per_s")} == {
        "role": "edge",
        "rules_version": 7,
        "rates_per_s": {"forward": 0.0},
    }
    await cache.expire(module.KEY_PREFIX + found.process_id, module.TTL_S - 20)
    [silent] = await read_heartbeats(cache)
    assert 19 < silent.age_s < 25
    await cache.delete(module.KEY_PREFIX + found.process_id)
    assert await read_heartbeats(cache) == []
    await beating.beat()
    await beating._remove()
    assert await read_heartbeats(cache) == []
    assert await cache.zcard(module.INDEX_KEY) == 0


async def test_ids_of_processes_that_vanished_leave_the_index(cache: Redis) -> None:
    await cache.zadd(module.INDEX_KEY, {f"gone-{number}": 1.0 for number in range(50)})
    await ProcessHeartbeat(cache, "worker").beat()
    assert await cache.zcard(module.INDEX_KEY) == 1
    assert len(await read_heartbeats(cache)) == 1


async def test_what_is_no_heartbeat_is_left_out(cache: Redis) -> None:
    await ProcessHeartbeat(cache, "worker").beat()
    for name, said in {"a": b"\xff", "b": b"[1]", "c": b"{", "d": b"7"}.items():
        await cache.set(module.KEY_PREFIX + name, said, ex=module.TTL_S)
        await cache.zadd(module.INDEX_KEY, {name: 4e9})
    await cache.zadd(module.INDEX_KEY, {b"\xff": 4e9})
    assert [one.said["role"] for one in await read_heartbeats(cache)] == ["worker"]


async def test_the_backlog_is_read_from_lengths(queue: Redis, flows: Flows) -> None:
    assert await read_backlog(queue, 1) == await read_backlog(queue, 300)
    seconds, microseconds = await queue.time()
    now_ms = int(seconds) * 1000 + int(microseconds) // 1000
    await queue.xadd(keys.jobs_stream(0), {"id": "a"}, id=f"{now_ms - 90_000}-0")
    await queue.xadd(keys.jobs_stream(1), {"id": "b"}, id=f"{now_ms - 30_000}-0")
    await queue.zadd(keys.prefix(0) + "retry", {"a": 1})
    dead = {"x": 1, "y": (now_ms - 540_000) * 1000, "z": (now_ms - 660_000) * 1000}
    await queue.zadd(keys.prefix(1) + "dead", dead)
    found = await read_backlog(queue, 2)
    assert (found.jobs, found.retrying, found.dead_letters, found.recent_dead_letters) == (2, 1, 3, 1)
    assert found.oldest_age_s is not None
    assert 89 < found.oldest_age_s < 120


async def test_the_status_says_what_is_there_and_what_is_missing(admin: Admin, cache: Redis) -> None:
    await ProcessHeartbeat(cache, "worker", lambda: {"in_flight": 3, "rules_version": None}).beat()
    answer = await admin("GET", "/v1/status", role="viewer")
    assert answer.status_code == 200
    status: dict[str, Any] = answer.json()
    assert [process["role"] for process in status["processes"]] == ["worker"]
    assert status["processes"][0]["in_flight"] == 3
    assert {store["store"]: store["reachable"] for store in status["stores"]} == {
        "mongodb": True,
        "cache_redis": True,
        "queue_redis": True,
    }
    assert all(store["version"] for store in status["stores"])
    assert status["backlog"] == {
        "jobs": 0, "oldest_age_seconds": None, "retrying": 0, "dead_letters": 0, "recent_dead_letters": 0
    }  # fmt: skip
    assert [problem for problem in status["problems"] if "is running" in problem["text"]] == [
        {"text": "No edge is running.", "about": "processes"},
        {"text": "No sync is running.", "about": "processes"},
    ]
    assert (status["flows"]["paused"], status["rules"]["paused"], status["decision_latency"]) == (0, 0, None)


async def test_the_history_is_what_was_gathered(admin: Admin) -> None:
    assert (await admin("GET", "/v1/status/history", role="viewer")).json() == {"samples": []}
    status = (await admin("GET", "/v1/status", role="viewer")).json()
    [sample] = (await admin("GET", "/v1/status/history", role="viewer")).json()["samples"]
    assert status["drain"] == {"permitted_per_second": 0.0, "actual_per_second": 0.0}
    assert sample == {
        "at": status["at"], "decisions": status["rates"]["decisions"], "jobs": 0, "oldest_age_seconds": None,
        "dead_letters": 0, **status["drain"]
    }  # fmt: skip


async def test_events_are_the_same_status(admin: Admin) -> None:
    answer = await admin("GET", "/v1/events", role="viewer")
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.text.startswith('event: status\ndata: {"at":"')
    assert answer.text.endswith("}\n\n")
    head = await admin.client.head("/v1/events", headers={"Authorization": answer.request.headers["Authorization"]})
    assert (head.status_code, head.text) == (200, "")


async def test_what_cannot_be_reached_is_said_and_is_no_error(
    cache: Redis, queue: Redis, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.admin.services.stores.ANSWER_WITHIN_S", 0.5)
    gone = Redis(port=free_port())
    mongo = mongo_client(f"mongodb://127.0.0.1:{free_port()}", server_selection_timeout_s=0.2)
    stores = Stores(mongo["nowhere"], gone, gone, settings)
    scripts = queue_scripts(settings.model_copy(update={"queue_redis_url": f"redis://127.0.0.1:{free_port()}"}))
    paused = PausedCounts(PausedFlows(FlowSettingStore(gone, scripts)), PausedRules(mongo["nowhere"]))
    index = FlowIndex(FlowViews(scripts, settings))

    async def drain() -> DrainStatus:
        raise QueueUnavailable("The queue Redis is away.")

    status = await StatusGathering(gone, gone, stores, 1, index, paused, drain).gather()
    assert status.drain is None
    assert (status.flows.paused, status.rules.paused, status.flows.as_of) == (None, None, None)
    assert [store.reachable for store in status.stores] == [False, False, False]
    assert all(store.problems for store in status.stores)
    assert (status.backlog, status.processes, status.rules.version) == (None, [], None)
    assert status.problems[-1].text == "The processes are not known while the cache Redis cannot be reached."
    mongo.close()
    await gone.aclose()


async def test_settings_of_a_store_that_lose_something_are_problems(admin: Admin, queue: Redis, cache: Redis) -> None:
    await queue.config_set("appendfsync", "everysec")
    await cache.config_set("maxmemory-policy", "allkeys-lru")
    try:
        problems = [one["text"] for one in (await admin("GET", "/v1/status", role="viewer")).json()["problems"]]
    finally:
        await queue.config_set("appendfsync", "always")
        await cache.config_set("maxmemory-policy", "noeviction")
    assert "queue_redis: appendfsync must be always, otherwise a crash loses jobs that were acknowledged." in problems
    assert "cache_redis: its maxmemory-policy is allkeys-lru, so it may drop rules and counters." in problems


async def test_a_store_that_refuses_to_say_how_it_is_can_be_reached(admin: Admin, queue: Redis) -> None:
    command = Redis.execute_command  # acl_setuser would set the password anew too
    await command(queue, "ACL", "SETUSER", "default", "-info")  # type: ignore[no-untyped-call]  # it has no types
    try:
        stores = (await admin("GET", "/v1/status", role="viewer")).json()["stores"]
    finally:
        await command(queue, "ACL", "SETUSER", "default", "+info")  # type: ignore[no-untyped-call]
    [found] = [store for store in stores if store["store"] == "queue_redis"]
    assert found["reachable"]
    assert found["problems"][0].startswith("it refuses to say how it is: ")


async def test_paused_rules_are_counted(admin: Admin) -> None:
    for number in range(3):
        rule = {"rule_id": f"r{number}", "key_type": "ip", "key_value": "*", "limit": 1, "window_seconds": 1}
        rule |= {"on_limit": "defer", "paused": number > 0}
        assert (await admin("POST", "/v1/rules", rule, role="admin")).status_code == 201
    assert (await admin("GET", "/v1/status", role="viewer")).json()["rules"]["paused"] == 2
    for paused, wanted in (("true", ["r1", "r2"]), ("false", ["r0"])):
        for order in ("id", "-priority"):
            listed = (await admin("GET", f"/v1/rules?paused={paused}&sort={order}&limit=1", role="viewer")).json()
            following = await admin(
                "GET", f"/v1/rules?paused={paused}&sort={order}&after={listed['next']}", role="viewer"
            )
            rules = listed["rules"] + (following.json()["rules"] if listed["next"] else [])
            assert [rule["rule_id"] for rule in rules] == wanted


async def test_a_mongodb_that_acknowledges_before_its_journal_is_a_problem(admin: Admin) -> None:
    database = admin.rules.database.client.admin

    async def configure(*, journal: bool) -> None:
        config = (await database.command("replSetGetConfig"))["config"]
        config |= {"version": config["version"] + 1, "writeConcernMajorityJournalDefault": journal}
        await database.command({"replSetReconfig": config})

    async def are(problems: list[str]) -> bool:
        found = (await admin("GET", "/v1/status", role="viewer")).json()["problems"]
        return [one["text"] for one in found if one["text"].startswith("mongodb")] == problems

    assert await are([])
    await configure(journal=False)
    try:
        await eventually(lambda: are([f"mongodb: {UNJOURNALED}."]), 10, "it is a problem")
    finally:
        await configure(journal=True)
    await eventually(lambda: are([]), 10, "it is none any more")


async def test_memory_and_disk_near_a_bound_are_problems(
    admin: Admin, queue: Redis, cache: Redis, settings: Settings, tmp_path: Path
) -> None:
    used = int((await queue.info("memory"))["used_memory"])
    await queue.config_set("maxmemory", int(used / (0.75 * settings.queue_max_memory / 0.8)))
    free = shutil.disk_usage(tmp_path).free
    near = settings.model_copy(update={"queue_folder": tmp_path, "queue_min_free_bytes": int(free * 0.7)})
    mongo = mongo_client(settings.mongodb_url)
    try:
        [_, of_cache, of_queue] = await Stores(mongo[settings.mongodb_database], cache, queue, near).look()
    finally:
        await queue.config_set("maxmemory", 0)
        mongo.close()
    [memory, disk] = [problem for problem in of_queue.problems if "deferred" in problem]
    assert re.fullmatch(r"it uses 7\d% of its memory, and from 80% on nothing is deferred", memory)
    assert re.fullmatch(r"its disk has only \d+ MiB left, and below \d+ MiB nothing is deferred", disk)
    assert of_cache.problems == []
