"""Rules with several limits: 10 a second and 1,000 a day in one rule, asked of a real edge and of a worker's slots."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from app.clients import counter_scripts
from app.decision import quotas_of
from app.limiter.places import Places
from app.limiter.redis_limiter import RedisLimiter
from app.queue.flow_name import encode_costs
from app.queue.flows import Flows
from app.queue.model import FlowHead
from app.redis_wire.scripts import Scripts
from app.rules.active import ActiveRule
from app.rules.cache import RuleCache
from app.rules.match import Match
from app.rules.model import parse_rule
from app.settings import Settings
from consumers.slots import SlotRequest, SlotSource
from sync.publisher import Publisher
from tests.support.edge_in_process import EVERY_USER, Edge, edge_running, in_force
from tests.support.flow_settings import no_flow_settings
from tests.support.rules import publish_all

DAY_S = 86_400
PER_SECOND_AND_DAY: dict[str, Any] = {"limit": 10, "window_seconds": 1}
PER_SECOND_AND_DAY |= {"limits": [{"limit": 20, "window_seconds": DAY_S}]}


@pytest.fixture
async def edge(settings: Settings, cache: Redis) -> AsyncIterator[Edge]:
    async with edge_running(settings, cache) as running:
        yield running


@pytest.fixture
async def limiter(settings: Settings) -> AsyncIterator[RedisLimiter]:
    scripts = counter_scripts(settings, 5000)
    yield RedisLimiter(scripts)
    await scripts.aclose()


def items(header: str) -> dict[str, str]:
    return dict(item.split(";", 1) for item in header.split(", "))


async def test_a_refusal_names_the_limit_and_when_it_resets(edge: Edge) -> None:
    """20 a day at once, then one every 72 minutes: the 21st names the limit of the day."""
    await edge.rule("key", **EVERY_USER, **PER_SECOND_AND_DAY | {"limit": 1000})
    who = edge.bearer("u")
    await in_force(edge, "key", who)
    answers = [await edge.get("/", who) for _ in range(21)]
    assert [answer.status for answer in answers] == [200] * 20 + [429]
    assert items(answers[0].headers["ratelimit-policy"]) == {'"key"': "q=1000;w=1", '"key:2"': f"q=20;w={DAY_S}"}
    refused = answers[-1]
    assert refused.json()["violated-policies"] == ["key:2"]
    assert "over the limit of key:2" in refused.json()["detail"]
    assert DAY_S // 20 - 60 < int(refused.headers["retry-after"]) <= DAY_S // 20
    assert items(refused.headers["ratelimit"])['"key:2"'].startswith("r=0;t=")
    shown = {one["policy"]: one for one in (await edge.get("/_penstock/limits", who)).json()["limits"]}
    assert shown.keys() == {"key", "key:2"}
    assert (shown["key:2"]["limit"], shown["key:2"]["window_seconds"], shown["key:2"]["remaining"]) == (20, DAY_S, 0)
    assert shown["key"]["remaining"] > 900
    assert {one["rule_id"] for one in shown.values()} == {"key"}


async def test_an_api_key_has_a_thousand_a_day(settings: Settings, cache: Redis) -> None:
    """The 1,001st request names the limit of the day, and says when the next one will be allowed."""
    async with edge_running(settings, cache, key_headers=("x-api-key",)) as edge:
        key = {"key_type": "header:x-api-key", "key_value": "*"}
        limits = [{"limit": 1000, "window_seconds": DAY_S, "algorithm": "sliding_window"}]
        rule = parse_rule({"rule_id": "key", **key, "limit": 2000, "window_seconds": 1, "limits": limits})
        await publish_all(Publisher(cache), [rule], 1)
        mine = "X-Api-Key: mine"
        await in_force(edge, "key", mine)
        answers = [
            answer for _ in range(20) for answer in await asyncio.gather(*(edge.get("/", mine) for _ in range(50)))
        ]
        assert [answer.status for answer in answers] == [200] * 1000
        refused = await edge.get("/", mine)
        assert (refused.status, refused.json()["violated-policies"]) == (429, ["key:2"])
        assert DAY_S - 300 < int(refused.headers["retry-after"]) <= DAY_S
        assert (await edge.get("/", "X-Api-Key: another")).status == 200


async def test_the_short_limit_refuses_and_spends_nothing_of_the_long_one(edge: Edge) -> None:
    await edge.rule("key", **EVERY_USER, limit=2, window_seconds=3600, limits=[{"limit": 20, "window_seconds": DAY_S}])
    who = edge.bearer("u")
    await in_force(edge, "key", who)
    answers = [await edge.get("/", who) for _ in range(6)]
    assert [answer.status for answer in answers] == [200, 200, 429, 429, 429, 429]
    assert answers[-1].json()["violated-policies"] == ["key"]
    shown = {one["policy"]: one["remaining"] for one in (await edge.get("/_penstock/limits", who)).json()["limits"]}
    assert shown == {"key": 0, "key:2": 18}


async def test_requests_are_counted_beside_what_they_cost(edge: Edge) -> None:
    """3 requests and 100 units in the same window; each refuses by itself, and each is told by its name."""
    limits = [{"limit": 3, "window_seconds": 3600, "cost": 1}]
    await edge.rule("llm", **EVERY_USER, limit=100, window_seconds=3600, cost={"header": "X-Cost"}, limits=limits)
    many, dear = edge.bearer("many"), edge.bearer("dear")
    for who in (many, dear):
        await in_force(edge, "llm", who)
    answers = [await edge.get("/", many, "X-Cost: 20") for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert answers[-1].json()["violated-policies"] == ["llm:2"]
    assert (await edge.get("/", dear, "X-Cost: 60")).status == 200
    answer = await edge.get("/", dear, "X-Cost: 60")
    assert (answer.status, answer.json()["violated-policies"]) == (429, ["llm"])
    shown = {one["policy"]: one for one in (await edge.get("/_penstock/limits", dear, "X-Cost: 7")).json()["limits"]}
    assert [(shown[name]["remaining"], shown[name]["cost"]) for name in ("llm", "llm:2")] == [(40, 7), (2, 1)]


async def test_an_eta_is_that_of_the_limit_that_refuses(edge: Edge) -> None:
    """10 a second refuses for a tenth of a second, 20 a day for 72 minutes: nobody is told the wrong one."""
    fields = {"limit": 10, "window_seconds": 1, "on_limit": "defer", "queue": {"max_wait_seconds": 9000}}
    await edge.rule("quick", **EVERY_USER, **fields, limits=[{"limit": 1000, "window_seconds": DAY_S}])
    who = edge.bearer("quick")
    await in_force(edge, "quick", who)
    began_s = time.monotonic()
    answers = await asyncio.gather(*(edge.get("/", who) for _ in range(30)))
    freed = 10 * (time.monotonic() - began_s)
    etas = sorted([answer.json()["eta_seconds"] for answer in answers if answer.status == 202])
    assert len(etas) >= max(1, 20 - freed)
    assert etas[-1] <= len(etas) / 10 + 1
    await edge.rule("slow", **EVERY_USER, **fields, limits=[{"limit": 20, "window_seconds": DAY_S, "burst": 1}])
    who = edge.bearer("slow")
    await in_force(edge, "slow", who)
    answers = [await edge.get("/", who) for _ in range(5)]
    assert [answer.status for answer in answers] == [200, 202, 202, 429, 429], "the third would wait for three hours"
    between = answers[2].json()["eta_seconds"] - answers[1].json()["eta_seconds"]
    assert abs(between - DAY_S / 20) < 30
    assert "it would wait for too long" in answers[-1].json()["detail"]


def rule(revision: int, *limits: tuple[int, float, str], **fields: Any) -> ActiveRule:  # noqa: ANN401
    own, *others = [
        {"limit": limit, "window_seconds": window_s, "algorithm": algorithm} for limit, window_s, algorithm in limits
    ]
    written = {"rule_id": "r", **EVERY_USER, **own, **fields} | ({"limits": others} if others else {})
    return ActiveRule(parse_rule(written), revision)


async def remaining(limiter: RedisLimiter, active: ActiveRule) -> dict[str, int]:
    quotas = quotas_of([Match(active, "user:u")])
    states = (await limiter.inspect(quotas.charges)).states
    return {policy.name: state.remaining for policy, state in zip(quotas.policies, states, strict=True)}


async def spend(limiter: RedisLimiter, active: ActiveRule, times: int) -> None:
    for _ in range(times):
        assert (await limiter.decide(quotas_of([Match(active, "user:u")]).charges)).allowed


@pytest.mark.parametrize("day", ["gcra", "sliding_window"])
@pytest.mark.parametrize("month", ["gcra", "sliding_window"])
async def test_what_was_spent_follows_the_window(limiter: RedisLimiter, cache: Redis, day: str, month: str) -> None:
    """Limits come, go and change places, and the day keeps what was spent in it, under either algorithm."""
    of_day, of_month, of_hour = (100, DAY_S, day), (1000, 30 * DAY_S, month), (50, 3600.0, "gcra")
    await spend(limiter, rule(1, of_day), 5)
    assert await remaining(limiter, rule(2, of_day, of_month)) == {"r": 95, "r:2": 1000}
    await spend(limiter, rule(2, of_day, of_month), 3)
    assert await remaining(limiter, rule(3, of_month, of_hour, of_day)) == {"r": 997, "r:2": 50, "r:3": 92}
    await spend(limiter, rule(3, of_month, of_hour, of_day), 2)
    assert await remaining(limiter, rule(4, of_hour, of_day)) == {"r": 48, "r:2": 90}
    assert await remaining(limiter, rule(5, of_day)) == {"r": 90}
    for key in await cache.keys("counter:*"):
        assert await cache.pttl(key) > 0, "no counter stays for ever"


async def test_a_caller_that_is_behind_is_judged_by_what_stands_there(limiter: RedisLimiter) -> None:
    """An edge that knows the old rule for another moment neither moves counters back nor forgets what was spent."""
    old, new = rule(1, (10, 60.0, "gcra")), rule(2, (10, 60.0, "gcra"), (100, DAY_S, "gcra"))
    await spend(limiter, old, 4)
    await spend(limiter, new, 2)
    await spend(limiter, old, 1)
    assert (await remaining(limiter, new))["r"] == 4


@pytest.fixture
def slots(limiter: RedisLimiter, counting: Scripts, flows: Flows, cache: Redis, settings: Settings) -> SlotSource:
    return SlotSource(limiter, Places(counting), flows, RuleCache(cache, settings), no_flow_settings(flows), settings)


async def test_a_worker_gets_slots_that_every_limit_permits(slots: SlotSource) -> None:
    active = rule(1, (1000, 1.0, "gcra"), (7, DAY_S, "gcra"), on_limit="defer")
    head = FlowHead("r|user:u", 50, 50, encode_costs([1]))
    grant = await slots.acquire(head, active, 50, 1)
    assert len(grant.slots_s) == 7
    assert DAY_S / 7 - 60 < grant.wait.wait_us / 1e6 < DAY_S / 7 + 1
    assert grant.wait.counter == "r|user:u"
    assert [wait.counter for wait in grant.waits] == ["r|user:u"], "one wait for each rule"


async def test_jobs_cost_a_limit_with_a_cost_of_its_own_no_more(slots: SlotSource) -> None:
    limits = [{"limit": 4, "window_seconds": 3600, "cost": 1}]
    active = ActiveRule(parse_rule({"rule_id": "r", **EVERY_USER, "limit": 90, "window_seconds": 3600, "cost": 20,
                                    "limits": limits, "on_limit": "defer"}), 1)  # fmt: skip
    head = FlowHead("r|user:u", 50, 50, encode_costs([20]))
    assert len((await slots.acquire(head, active, 50, 1)).slots_s) == 4


async def test_flows_that_share_two_limits_take_turns_until_either_has_no_more(slots: SlotSource) -> None:
    active = rule(1, (1000, 1.0, "gcra"), (5, DAY_S, "gcra"), on_limit="defer")
    shared = "r|claim:plan:free"
    heads = [FlowHead(f"{shared}>user:{number}", 9, 9, encode_costs([1])) for number in range(8)]
    grants = await slots.acquire_turns(shared, [SlotRequest(head, active, 2) for head in heads], 100, 1)
    assert [None if grant is None else len(grant.slots_s) for grant in grants[:5]] == [1] * 5
    assert sum(len(grant.slots_s) for grant in grants if grant is not None) == 5


async def test_a_drain_rate_of_its_own_takes_the_place_of_all_limits(slots: SlotSource) -> None:
    drain = {"limit": 100, "window_seconds": 1, "burst": 3}
    active = rule(1, (1000, 1.0, "gcra"), (1, DAY_S, "gcra"), on_limit="defer", drain=drain)
    head = FlowHead("r|user:u", 50, 50, encode_costs([1]))
    assert len((await slots.acquire(head, active, 50, 1)).slots_s) >= 3
