"""What a worker asks the counters for: jobs whose rule has changed since they were deferred."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from app.clients import counter_scripts
from app.limiter.keys import drain_counter, live_counter
from app.limiter.places import Places
from app.limiter.policy import Charge, Policy
from app.limiter.redis_limiter import RedisLimiter
from app.queue.flow_name import encode_costs
from app.queue.flows import Flows
from app.queue.model import FlowHead
from app.redis_wire.scripts import Scripts
from app.rules.active import ActiveRule
from app.rules.cache import RuleCache
from app.rules.model import parse_rule
from app.settings import Settings
from consumers.charges import ASK_AGAIN_US, caller_marker
from consumers.slots import SlotRequest, SlotSource
from tests.support.flow_settings import no_flow_settings

FLOW = "r|user:u"
FROZEN_COST = 5
RULE: dict[str, Any] = {"rule_id": "r", "key_type": "user", "key_value": "*", "limit": 10, "window_seconds": 1}
RULE |= {"on_limit": "defer"}


@pytest.fixture
async def limiter(settings: Settings) -> AsyncIterator[RedisLimiter]:
    scripts = counter_scripts(settings, 5000)
    yield RedisLimiter(scripts)
    await scripts.aclose()


@pytest.fixture
def slots(limiter: RedisLimiter, counting: Scripts, flows: Flows, cache: Redis, settings: Settings) -> SlotSource:
    return SlotSource(limiter, Places(counting), flows, RuleCache(cache, settings), no_flow_settings(flows), settings)


def head(cost: int = FROZEN_COST) -> FlowHead:
    return FlowHead(FLOW, 10, 10, encode_costs([cost]))


def changed(**fields: Any) -> ActiveRule:  # noqa: ANN401
    return ActiveRule(parse_rule(RULE | fields), 2)


@pytest.mark.parametrize(
    "rule",
    [
        changed(burst=2),
        changed(drain={"limit": 10, "window_seconds": 1, "burst": 2}),
        changed(limit=2, algorithm="sliding_window"),
    ],
    ids=["burst", "drain.burst", "sliding_window"],
)
async def test_a_job_that_cost_more_than_the_burst_is_now_takes_all_of_it(slots: SlotSource, rule: ActiveRule) -> None:
    grant = await slots.acquire(head(), rule, 1, 1)
    assert len(grant.slots_s) == 1, "it is sent, and what is behind it goes on"
    grant = await slots.acquire(head(), rule, 1, 1)
    assert grant.slots_s == ()
    assert 0 < grant.next_wait_us <= 1_000_000 + slots.lead_time.horizon_us, "a whole burst later"


async def test_the_same_where_flows_take_turns(slots: SlotSource) -> None:
    requests = [SlotRequest(head(), changed(burst=2), 1)]
    [grant] = await slots.acquire_turns(FLOW, requests, 10, 1)
    assert grant is not None
    assert len(grant.slots_s) == 1


@pytest.mark.parametrize("algorithm", ["gcra", "sliding_window"])
@pytest.mark.parametrize("drain", [None, {"limit": 10, "window_seconds": 1, "burst": 10}], ids=["budget", "drain"])
async def test_a_worker_that_is_behind_a_rule_asks_again_soon(
    slots: SlotSource, limiter: RedisLimiter, algorithm: str, drain: dict[str, Any] | None
) -> None:
    """The counter's policy is newer, and by it a job of this cost would wait for ever, or for a year."""
    counter = (live_counter if drain is None else drain_counter)("r", "user:u")
    year = Policy(1, 366 * 86_400.0, 1, 3, algorithm)
    await limiter.acquire((Charge(counter, year),), 1, 0, 0, "", 0, 1)
    grant = await slots.acquire(head(), changed(**({} if drain is None else {"drain": drain})), 1, 1)
    assert grant.slots_s == ()
    assert grant.next_wait_us == grant.wait.wait_us == ASK_AGAIN_US


async def test_flows_that_are_empty_in_the_same_turn_clear_their_markers_in_one_call(
    slots: SlotSource, limiter: RedisLimiter, cache: Redis
) -> None:
    """Each marker is compared with the time at which its own flow was seen."""
    flows = [f"r|user:{user}" for user in range(3)]
    markers = [caller_marker(flow) for flow in flows]
    for marker in markers:
        await limiter.set_backlog_marker(marker, 10, 60)
    await limiter.clear_backlog_markers([("none", 1)])  # so that the script is known
    await cache.config_resetstat()
    seen_at_us = (11, 9, 10)
    await asyncio.gather(
        *(slots.clear_markers([(flow, changed())], at_us) for flow, at_us in zip(flows, seen_at_us, strict=True))
    )
    assert [await cache.exists(marker) for marker in markers] == [0, 1, 0]
    assert (await cache.info("commandstats"))["cmdstat_evalsha"]["calls"] == 1
