"""Many flows, few workers: no flow's backlog delays another's, and priorities decide who goes first."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from app.jobs.model import StoredRequest
from app.limiter.keys import descriptor
from app.queue.flows import Flows
from app.queue.model import Deferral, Enqueued, FrozenCharge
from app.redis_wire.scripts import Scripts
from app.rules.active import ActiveRule
from app.rules.model import parse_rule
from app.settings import Settings
from tests.support.system import System, running

FLOWS = int(os.environ.get("PENSTOCK_TEST_FLOWS", "2500"))
AT_ONCE = 500
RULE: dict[str, Any] = {"key_type": "user", "key_value": "*", "limit": 1, "window_seconds": 36_000, "on_limit": "defer"}
RULE |= {"drain": {"limit": 1000, "window_seconds": 1}, "queue": {"max_depth": 100_000}}


@pytest.fixture
def flows(queue: Redis, queueing: Scripts, settings: Settings) -> Flows:
    return Flows(queue, queueing, settings)


async def enqueue(flows: Flows, rule_id: str, users: list[str], target: str) -> None:
    """One job each, in this order, as edges would have put them there."""
    await flows.prepare()
    rule = ActiveRule(parse_rule(RULE | {"rule_id": rule_id}), 1)
    for first in range(0, len(users), AT_ONCE):
        deferrals = [deferral(rule, user, target.format(user)) for user in users[first : first + AT_ONCE]]
        answers = await asyncio.gather(*(flows.enqueue(each) for each in deferrals))
        assert all(isinstance(answer, Enqueued) for answer in answers)


def deferral(rule: ActiveRule, user: str, target: str) -> Deferral:
    whom = descriptor("user", user)
    return Deferral(rule, (FrozenCharge(rule.rule_id, whom, 1),), "", StoredRequest("POST", target.encode(), [], b""))


async def targets(system: System, count: int) -> list[str]:
    return [arrival["target"] for arrival in await system.arrived(count, within_s=180)]


@pytest.mark.alone
async def test_many_flows_beside_a_large_one(settings: Settings, tmp_path: Path, flows: Flows) -> None:
    small = [f"small{number}" for number in range(FLOWS)]
    async with running(settings, tmp_path, edges=0, workers=0) as system:
        await system.put_rule("r", **RULE)
        await enqueue(flows, "r", ["large"] * 2 * FLOWS, "/large")
        await enqueue(flows, "r", small, "/{}")
        await system.ready(system.worker())
        arrived = await targets(system, 3 * FLOWS)
    seen = [target for target in arrived if target != "/large"]
    assert sorted(seen) == sorted(f"/{user}" for user in small)
    last = len(arrived) - 1 - arrived[::-1].index(seen[-1])
    beside = arrived[:last].count("/large")
    print(f"beside {FLOWS} small flows the large one sent {beside} of {2 * FLOWS}")
    assert 0 < beside < 1.5 * FLOWS, "the large flow waits for nobody, and nobody for it"
    displaced = max(abs(position - int(target.removeprefix("/small"))) for position, target in enumerate(seen))
    assert displaced < min(1000, FLOWS / 5), "the flows go in the order in which they were due"


async def test_a_slow_flow_does_not_take_all_of_a_worker(settings: Settings, tmp_path: Path, flows: Flows) -> None:
    small = [f"small{number}" for number in range(500)]
    async with running(settings, tmp_path, edges=0, workers=0) as system:
        await system.put_rule("r", **RULE)
        await enqueue(flows, "r", ["large"] * 2000, "/large?delay_ms=200")
        await enqueue(flows, "r", small, "/{}")
        await system.ready(system.worker(PENSTOCK_MAX_IN_FLIGHT="20"))
        while True:
            arrived = [arrival["target"] for arrival in await system.arrivals()]
            if sum(target != "/large?delay_ms=200" for target in arrived) == len(small):
                break
            assert len(arrived) - len(small) < 2000
            await asyncio.sleep(0.05)
    beside = len(arrived) - len(small)
    print(f"beside 500 flows a slow one sent {beside} of 2,000")
    assert 0 < beside < 1000


async def test_the_higher_priority_goes_first_when_workers_are_short(
    settings: Settings, tmp_path: Path, flows: Flows
) -> None:
    users = [f"u{number}" for number in range(300)]
    async with running(settings, tmp_path, edges=0, workers=0) as system:
        await system.put_rule("low", **RULE)
        await system.put_rule("vip", **RULE, priority=5)
        await enqueue(flows, "low", users, "/low")
        vip = ActiveRule(parse_rule(RULE | {"rule_id": "vip", "priority": 5}), 1)
        for user in users:
            assert isinstance(await flows.enqueue(deferral(vip, user, "/vip")), Enqueued)
        await system.ready(system.worker(PENSTOCK_MAX_IN_FLIGHT="1"))
        arrived = await targets(system, 600)
    print(f"of the first 300, {arrived[:300].count('/vip')} were of the higher priority")
    assert arrived[:300].count("/vip") > 290
