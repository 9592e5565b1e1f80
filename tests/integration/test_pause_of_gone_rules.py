"""A rule that is deleted or disabled while it is paused: its flows wait until an operator resumes them."""

from typing import Any

import pytest
from redis.asyncio import Redis

from app.limiter.places import Places
from app.limiter.redis_limiter import RedisLimiter
from app.queue.flows import Flows
from app.redis_wire.scripts import Scripts
from app.rules.cache import RuleCache
from app.settings import Settings
from consumers.draining import Draining
from consumers.slots import SlotSource
from sync.publisher import Publisher
from tests.support.admin_in_process import Admin
from tests.support.flow_settings import no_flow_settings
from tests.support.flow_steps import accepted, active, deferral, take
from tests.support.rules import publish_all

RULE: dict[str, Any] = {"rule_id": "r", "key_type": "user", "key_value": "*", "limit": 5, "window_seconds": 60}
RULE |= {"on_limit": "defer"}


async def parked(flows: Flows) -> str:
    """A flow whose rule was paused, and then went."""
    await accepted(flows, deferral(rule=active(revision=5, paused=True)))
    [flow] = await take(flows)
    await flows.park(flow.name, flow.token, 5)
    await flows.reschedule("r", None)
    [flow] = await take(flows)
    last = await flows.snapshot(flow.name)
    assert last is not None
    assert last.paused, "what the worker reads of it says so"
    await flows.park(flow.name, flow.token, last.revision)
    assert await take(flows) == []
    return flow.name


async def drains(flows: Flows) -> bool:
    taken = await take(flows)
    if not taken:
        return False
    last = await flows.snapshot(taken[0].name)
    assert last is not None
    return not last.paused


async def test_the_flows_of_a_deleted_rule_are_resumed_and_paused(admin: Admin, flows: Flows) -> None:
    flow = await parked(flows)
    assert (await admin("POST", "/v1/rules/r/drain/resume")).status_code == 204
    assert await drains(flows)
    assert (await admin("POST", "/v1/rules/r/drain/pause")).status_code == 204
    last = await flows.snapshot(flow)
    assert last is not None
    assert last.paused


async def test_the_flows_of_a_disabled_rule_are_resumed(admin: Admin, flows: Flows) -> None:
    await parked(flows)
    assert (await admin("POST", "/v1/rules", RULE | {"enabled": False, "paused": True})).status_code == 201
    answer = await admin("POST", "/v1/rules/r/drain/resume")
    assert answer.status_code == 200
    assert not answer.json().get("paused", False)
    assert await drains(flows)


@pytest.mark.parametrize("command", ["pause", "resume"])
async def test_a_rule_that_never_was_is_not_found(admin: Admin, command: str) -> None:
    assert (await admin("POST", f"/v1/rules/nothing/drain/{command}")).status_code == 404


@pytest.mark.parametrize("command", ["pause", "resume"])
@pytest.mark.parametrize("tag", ['"1"', "*"])
async def test_a_deleted_rule_has_no_version(admin: Admin, flows: Flows, command: str, tag: str) -> None:
    """A precondition counts where the request would be done without it (RFC 9110, section 13.2.1), else it is 404."""
    answer = await admin("POST", f"/v1/rules/r/drain/{command}", If_Match=tag)
    assert answer.status_code == 404, "there is neither a rule nor a flow"
    await parked(flows)
    answer = await admin("POST", f"/v1/rules/r/drain/{command}", If_Match=tag)
    assert answer.status_code == 412
    assert await take(flows) == [], "the flow is still parked"


async def test_a_worker_that_knows_it_as_paused_does_not_park_a_resumed_flow(admin: Admin, flows: Flows) -> None:
    await accepted(flows, deferral(rule=active(revision=5, paused=True)))
    [flow] = await take(flows)
    await admin("POST", "/v1/rules/r/drain/resume")
    await flows.park(flow.name, flow.token, 5)
    wait_s, _ = await flows.take(0, 10, 1000)
    assert wait_s is not None
    assert wait_s <= 0.2, "it is looked at again soon"


async def test_the_next_version_of_the_rule_decides_again(admin: Admin, flows: Flows) -> None:
    flow = await parked(flows)
    await admin("POST", "/v1/rules/r/drain/resume")
    await flows.reschedule("r", active(revision=6, paused=True))
    last = await flows.snapshot(flow)
    assert last is not None
    assert last.paused


async def test_a_worker_parks_what_is_left_of_it_and_sends_nothing(
    flows: Flows, cache: Redis, counting: Scripts, settings: Settings
) -> None:
    await publish_all(Publisher(cache), [], 1)  # the rules are known, and it is not among them
    await accepted(flows, deferral(rule=active(revision=5, paused=True)))
    [flow] = await take(flows)
    slots = SlotSource(
        RedisLimiter(counting), Places(counting), flows, RuleCache(cache, settings), no_flow_settings(flows), settings
    )
    nothing_is_sent: Any = None
    draining = Draining(flows, slots, nothing_is_sent, nothing_is_sent, nothing_is_sent, nothing_is_sent, 200_000, "c")
    await draining.drain(flow, lambda: False)
    assert (await flows.take(0, 10, 1000)) == (None, []), "it is due no more"
    await flows.reschedule("r", active(revision=6))
    assert len(await take(flows)) == 1
