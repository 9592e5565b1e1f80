"""An admin process is killed in the middle of a replay: another goes on, none is replayed twice and none is lost."""

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from app.queue.flows import Flows
from app.redis_wire.scripts import Scripts
from app.settings import Settings
from sync.publisher import Publisher
from tests.support.dead_letters import fill
from tests.support.flow_steps import active
from tests.support.ports import free_port
from tests.support.rules import publish_all
from tests.support.system import Part, System, running
from tests.support.waiting import eventually

DEAD_LETTERS = 3000
RATE_PER_S = 1000
"""So slow that letters are left for some seconds after the first are seen to be replayed: the kill comes meanwhile."""

WITHIN_S = 60.0


@pytest.fixture
async def system(settings: Settings, tmp_path: Path) -> AsyncIterator[System]:
    async with running(settings, tmp_path, syncs=0, edges=0, workers=0) as system:
        yield system


async def test_a_replay_survives_the_kill_of_its_process(
    system: System, settings: Settings, cache: Redis, queue: Redis, queueing: Scripts
) -> None:
    rule = active(queue={"max_depth": 100_000})
    await publish_all(Publisher(cache), [rule.rule], 1)
    flows = Flows(queue, queueing, settings)
    await flows.prepare()
    dead = await fill(flows, DEAD_LETTERS, rule)
    first, port = await _admin(system)
    wanted = {"kind": "replay_dead_letters", "filter": {"rule_id": "r"}, "rate_per_s": RATE_PER_S}
    operation = await _asked(system, port, "POST", "/v1/operations", wanted)
    path = f"/v1/operations/{operation['id']}"

    async def has_begun() -> bool:
        done: int = (await _asked(system, port, "GET", path))["done"]
        return done > DEAD_LETTERS / 10

    await eventually(has_begun, WITHIN_S, "a part is replayed")
    first.kill()
    first.process.wait()
    left = await queue.zcard("{q0}:dead")
    assert 0 < left < DEAD_LETTERS
    (_, port), _ = await _admin(system), await _admin(system)

    async def has_ended() -> bool:
        return (await _asked(system, port, "GET", path))["ended_at"] is not None

    await eventually(has_ended, WITHIN_S, "another process has done the rest")
    ended = await _asked(system, port, "GET", path)
    assert (ended["state"], ended["done"], ended["skipped"], ended["errors"]) == ("completed", DEAD_LETTERS, 0, {})
    entries: Any = await queue.xrange("{q0}:jobs")
    assert Counter(fields[b"id"].decode() for _, fields in entries) == Counter(dead)
    assert await queue.zcard("{q0}:dead") == 0


async def _admin(system: System) -> tuple[Part, int]:
    port = free_port()
    part = system.spawn("admin", "--port", str(port))
    await system.ready(part)
    return part, port


async def _asked(system: System, port: int, method: str, path: str, body: object = None) -> dict[str, Any]:
    token = system.issuer.token("ops", aud="penstock-admin", penstock_role="operator")
    async with httpx.AsyncClient(timeout=30) as client:
        headers = {"Authorization": f"Bearer {token}"}
        answer = await client.request(method, f"http://127.0.0.1:{port}{path}", json=body, headers=headers)
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()
    return found
