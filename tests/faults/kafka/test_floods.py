"""More jobs in Kafka than the queue Redis may hold, and members of the consumer group that join and leave.

PENSTOCK_TEST_KAFKA_FLOOD is the number of messages in the paused flow, and PENSTOCK_TEST_KAFKA_REBALANCES is how often
a member joins or leaves, every two seconds. The defaults suit a CI run. 100,000 messages were tested, with at most 134
MiB in use, and one minute of rebalances.
"""

import asyncio
import os
import time
from collections import deque
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from app.clients import cache_redis, queue_redis
from app.jobs.model import StoredRequest
from app.limiter.keys import descriptor
from app.local.stores import redis_is_ready
from app.queue.model import Deferral, Enqueued, FrozenCharge
from app.rules.active import ActiveRule
from app.rules.model import parse_rule
from app.settings import Settings
from tests.support.account import arrivals_of
from tests.support.bounds import as_read, assert_in_order
from tests.support.granted_slots import assert_sent_at_slots
from tests.support.kafka_in_process import Kafka, kafka_parts
from tests.support.ledger import Client, Ledger
from tests.support.stores import own_queue
from tests.support.system import System, running
from tests.support.waiting import eventually

FLOOD = int(os.environ.get("PENSTOCK_TEST_KAFKA_FLOOD", "4000"))
REBALANCES = int(os.environ.get("PENSTOCK_TEST_KAFKA_REBALANCES", "4"))
POLL_INTERVAL_S = 2.0
OTHERS, JOBS_OF_OTHERS = 5, 100
RATE = 50
BODY = b"x" * 4000
AT_ONCE = 200
HELD_BYTES = 4 << 20
RECORD_BYTES = 2000
"""An upper bound of what a job takes in the queue Redis beside its request."""

RULE: dict[str, Any] = {
    "key_type": "user",
    "limit": 1,
    "window_seconds": 36_000,
    "on_limit": "defer",
    "drain": {"limit": 2000, "window_seconds": 1, "burst": 100},
    "queue": {"max_depth": 1_000_000, "max_wait_seconds": 86_400},
}


async def enqueue(kafka: Kafka, rule: ActiveRule, user: str, count: int, at_once: int = AT_ONCE) -> None:
    """Enqueue as an edge does. The order of jobs that are enqueued at the same time is not defined."""
    whom = descriptor("user", user)

    async def one(number: int) -> None:
        request = StoredRequest("POST", f"/{user}/{number}".encode(), [], BODY)
        deferral = Deferral(rule, (FrozenCharge(rule.rule_id, whom, 1),), "", request)
        assert isinstance(await kafka.queue.enqueue(deferral), Enqueued)

    for first in range(0, count, at_once):
        await asyncio.gather(*(one(number) for number in range(first, min(count, first + at_once))))


async def test_a_flood_stays_in_kafka_and_delays_no_other_flow(kafka_settings: Settings, tmp_path: Path) -> None:
    """One partition of the topic has a paused flow that does not fit into the queue Redis, and then other flows.

    The other flows drain at their rates.
    """
    with own_queue(tmp_path / "queue.log") as store:
        await redis_is_ready(store.url)
        changed = {"queue_redis_url": store.url, "kafka_partitions": 1, "kafka_held_bytes": HELD_BYTES}
        settings = kafka_settings.model_copy(update=changed)
        redis, cache = queue_redis(settings), cache_redis(settings)
        try:
            await flood(settings, tmp_path, redis, cache)
        finally:
            await redis.aclose()
            await cache.aclose()


async def flood(settings: Settings, tmp_path: Path, redis: Redis, cache: Redis) -> None:
    empty = int((await redis.info("memory"))["used_memory"])
    environment: Any = {"PENSTOCK_KAFKA_HELD_BYTES": str(HELD_BYTES)}
    paused = RULE | {"key_value": "flood", "paused": True}
    async with running(settings, tmp_path, edges=0, workers=0, record_slots=True, **environment) as system:
        await system.put_rule("flood", **paused)
        for number in range(OTHERS):
            await system.put_rule(f"other{number}", **RULE | {"key_value": f"other{number}"} | at(RATE))
        async with kafka_parts(settings, cache, redis) as kafka:
            await enqueue(kafka, ActiveRule(parse_rule(paused | {"rule_id": "flood"}), 1), "flood", FLOOD)
            for number in range(OTHERS):
                rule = RULE | {"key_value": f"other{number}", "rule_id": f"other{number}"} | at(RATE)
                await enqueue(kafka, ActiveRule(parse_rule(rule), 1), f"other{number}", JOBS_OF_OTHERS, at_once=1)
        await system.ready(system.worker(), system.worker())
        others = OTHERS * JOBS_OF_OTHERS
        arrivals = await system.arrived(others, within_s=60)
        for number in range(OTHERS):
            own = [a for a in arrivals if a["target"].startswith(f"/other{number}/")]
            assert_in_order(as_read((int(a["target"].split("/")[2]) for a in own), own))
            assert_sent_at_slots([a["clock"] for a in own], system.granted(f"user:other{number}"), RATE, 1)
            took_s = own[-1]["at"] - own[0]["at"]
            assert took_s < 4 * JOBS_OF_OTHERS / RATE, f"a flow behind the flood drained in {took_s:.1f} s"
        held = int((await redis.hget("{q0}:totals", "bytes")) or 0)
        assert 0 < held <= HELD_BYTES
        assert not any(a["target"].startswith("/flood/") for a in arrivals), "its rule is paused"
        await system.put_rule("flood", **paused | {"paused": False})
        most = await most_memory_until(redis, system, others + FLOOD)
    arrived = [a.number for a in arrivals_of(tmp_path / "arrivals.jsonl") if a.user == "flood"]
    used = most - empty
    print(f"{FLOOD} requests of {len(BODY)} bytes, {HELD_BYTES >> 20} MiB resident: at most {used >> 20} MiB in use")
    assert sorted(arrived) == list(range(FLOOD)), "each once"
    assert used < HELD_BYTES * 3 + FLOOD * RECORD_BYTES, "memory is bounded"
    assert FLOOD * len(BODY) > HELD_BYTES, "it does not fit into the queue Redis"


def at(rate: int) -> dict[str, Any]:
    return {"drain": {"limit": rate, "window_seconds": 1}}


async def most_memory_until(redis: Redis, system: System, count: int) -> int:
    most = 0

    async def all_arrived() -> bool:
        nonlocal most
        most = max(most, int((await redis.info("memory"))["used_memory"]))
        await asyncio.sleep(0.2)
        return await system.arrived_so_far() >= count

    await eventually(all_arrived, 60 + count / 100, "all arrive")
    return most


async def test_order_and_rate_hold_while_members_join_and_leave(kafka_settings: Settings, tmp_path: Path) -> None:
    users = [f"user{number}" for number in range(4)]
    async with running(kafka_settings, tmp_path, edges=2, workers=1, record_slots=True) as system:
        await system.put_rule("r", **RULE | {"key_value": "*"} | at(RATE // 2))
        await system.rule_is_known("r", users[0])
        ledger, over = Ledger(tmp_path / "promises.jsonl"), asyncio.Event()
        sending = asyncio.gather(*(send_until(over, Client(system, user, ledger)) for user in users))
        members = deque([system.worker(), system.worker()])
        await system.ready(*members)
        # Members leave and join in turn. Starting one takes a few seconds, so two are started in advance.
        for turn in range(REBALANCES):
            if turn % 2:
                members.append(system.worker())
            else:
                oldest = members.popleft()
                await system.ready(oldest)
                await asyncio.to_thread(oldest.end)
            await asyncio.sleep(POLL_INTERVAL_S)
        over.set()
        await sending
        promised = {entry["job"] for entry in ledger.read()}
        began = time.monotonic()
        await eventually(lambda: have_arrived(system, promised), 60, "all accepted jobs arrive")
        found = arrivals_of(system.arrivals_ledger)
    took_s = time.monotonic() - began
    print(f"{REBALANCES} times a member joined or left: {len(promised)} jobs, the last {took_s:.1f} s later")
    assert len(promised) > 20 * REBALANCES
    assert len(found) == len(promised), "each once"
    for user in users:
        own = [arrival for arrival in found if arrival.user == user]
        assert_in_order(arrival.as_read for arrival in own)
        assert_sent_at_slots([arrival.clock for arrival in own], system.granted(f"user:{user}"), RATE // 2, 1)


async def send_until(over: asyncio.Event, client: Client) -> None:
    number = 0
    while not over.is_set():
        await client.send(number)
        number += 1
        await asyncio.sleep(2 / RATE)


async def have_arrived(system: System, jobs: set[str]) -> bool:
    return jobs <= {arrival.job for arrival in arrivals_of(system.arrivals_ledger)}
