"""More on Kafka than the queue Redis can hold, and members of the intake that come and go.

PENSTOCK_TEST_KAFKA_FLOOD says how many messages wait in the paused flow, PENSTOCK_TEST_KAFKA_REBALANCES how often a
member joins or leaves, two seconds after each other; the defaults are what a CI run has time for. 100,000 messages were
tried, with 134 MiB in use at most, and a minute of rebalances.
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
from tests.faults.drain.account import arrivals_of
from tests.faults.drain.ledger import Client, Ledger
from tests.faults.drain.test_queue_faults import own_queue
from tests.integration.kafka_steps import Kafka, kafka_parts
from tests.support.bounds import assert_in_order, assert_within_rate
from tests.support.system import System, eventually, running

FLOOD = int(os.environ.get("PENSTOCK_TEST_KAFKA_FLOOD", "4000"))
REBALANCES = int(os.environ.get("PENSTOCK_TEST_KAFKA_REBALANCES", "4"))
POLL_INTERVAL_S = 2.0
OTHERS, JOBS_OF_OTHERS = 5, 100
RATE = 50
BODY = b"x" * 4000
AT_ONCE = 200
HELD_BYTES = 4 << 20
RECORD_BYTES = 2000
"""More than a job's record takes, with its places in lists."""

RULE: dict[str, Any] = {
    "key_type": "user",
    "limit": 1,
    "window_seconds": 36_000,
    "on_limit": "defer",
    "drain": {"limit": 2000, "window_seconds": 1, "burst": 100},
    "queue": {"max_depth": 1_000_000, "max_wait_seconds": 86_400},
}


async def enqueue(kafka: Kafka, rule: ActiveRule, user: str, count: int, at_once: int = AT_ONCE) -> None:
    """As an edge does it: record, message, acknowledged. Those that are asked for at once have no order."""
    whom = descriptor("user", user)

    async def one(number: int) -> None:
        request = StoredRequest("POST", f"/{user}/{number}".encode(), [], BODY)
        deferral = Deferral(rule, whom, (FrozenCharge(rule.rule_id, whom, 1),), "", request)
        assert isinstance(await kafka.queue.enqueue(deferral), Enqueued)

    for first in range(0, count, at_once):
        await asyncio.gather(*(one(number) for number in range(first, min(count, first + at_once))))


async def test_a_flood_waits_on_kafka_and_keeps_nobody_waiting(kafka_settings: Settings, tmp_path: Path) -> None:
    """All on one Kafka partition: a paused flow of more than may be held, and then others, who drain at their rate."""
    with own_queue(tmp_path / "queue", tmp_path / "queue.log") as store:
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
    async with running(settings, tmp_path, edges=0, workers=0, **environment) as system:
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
            assert_in_order([(int(a["target"].split("/")[2]), a["at"]) for a in own])
            assert_within_rate([a["at"] for a in own], RATE, 1)
            took_s = own[-1]["at"] - own[0]["at"]
            assert took_s < 4 * JOBS_OF_OTHERS / RATE, f"a flow behind the flood drained in {took_s:.1f} s"
        held = int((await redis.hget("{q0}:totals", "bytes")) or 0)
        assert 0 < held <= HELD_BYTES
        assert not any(a["target"].startswith("/flood/") for a in arrivals), "it is paused"
        await system.put_rule("flood", **paused | {"paused": False})
        most = await most_memory_until(redis, system, others + FLOOD)
    arrived = [a.number for a in arrivals_of(tmp_path / "arrivals.jsonl") if a.user == "flood"]
    used = most - empty
    print(f"{FLOOD} of {len(BODY)} bytes behind {HELD_BYTES >> 20} MiB: at most {used >> 20} MiB were in use")
    assert sorted(arrived) == list(range(FLOOD)), "each once"
    assert used < HELD_BYTES * 3 + FLOOD * RECORD_BYTES, "memory is bounded"
    assert FLOOD * len(BODY) > HELD_BYTES, "it could not all be held"


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


async def test_order_and_rate_hold_while_members_come_and_go(kafka_settings: Settings, tmp_path: Path) -> None:
    users = [f"user{number}" for number in range(4)]
    async with running(kafka_settings, tmp_path, edges=2, workers=1) as system:
        await system.put_rule("r", **RULE | {"key_value": "*"} | at(RATE // 2))
        await system.rule_is_known("r", users[0])
        ledger, over = Ledger(tmp_path / "promises.jsonl"), asyncio.Event()
        sending = asyncio.gather(*(send_until(over, Client(system, user, ledger)) for user in users))
        members = deque([system.worker(), system.worker()])
        await system.ready(*members)
        # In turn one goes and one comes, which takes it a few seconds: so others come meanwhile.
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
        await eventually(lambda: have_arrived(system, promised), 60, "all that was promised arrives")
        found = arrivals_of(system.arrivals_ledger)
    took_s = time.monotonic() - began
    print(f"{REBALANCES} times a member came or went: {len(promised)} jobs, the last {took_s:.1f} s later")
    assert len(promised) > 20 * REBALANCES
    assert len(found) == len(promised), "each once"
    for user in users:
        own = [arrival for arrival in found if arrival.user == user]
        assert_in_order([(arrival.number, arrival.at) for arrival in own])
        assert_within_rate([arrival.at for arrival in own], RATE // 2, 1, 0.5)


async def send_until(over: asyncio.Event, client: Client) -> None:
    number = 0
    while not over.is_set():
        await client.send(number)
        number += 1
        await asyncio.sleep(2 / RATE)


async def have_arrived(system: System, jobs: set[str]) -> bool:
    return jobs <= {arrival.job for arrival in arrivals_of(system.arrivals_ledger)}
