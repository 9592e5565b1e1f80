"""Which rules apply to a request and what they count, asked of a real edge."""

import time
from collections.abc import AsyncIterator
from ipaddress import ip_network
from typing import Any

import pytest
from redis.asyncio import Redis

from app.rules.model import parse_rule
from app.settings import Settings
from sync.publisher import Publisher
from tests.support.edge_in_process import Edge, edge_running
from tests.support.rules import publish_all
from tests.support.waiting import eventually

FEW = {"limit": 2, "window_seconds": 3600}


@pytest.fixture
async def edge(settings: Settings, cache: Redis) -> AsyncIterator[Edge]:
    async with edge_running(settings, cache, trusted_proxies=(ip_network("127.0.0.0/8"),)) as running:
        yield running


async def publish(edge: Edge, *rules: dict[str, Any]) -> None:
    """Publish these as sync does; the edge knows all of them once it knows the last, which is every address's."""
    last = {"rule_id": "known", "key_type": "ip", "key_value": "*", "limit": 10_000, "window_seconds": 1}
    await publish_all(Publisher(edge.cache), [parse_rule(rule) for rule in (*rules, last)], 1)

    async def known() -> bool:
        return "known" in await applying(edge, came_from("192.0.2.200"))

    await eventually(known, 30, "the rules are in force")


def came_from(address: str) -> str:
    return f"X-Forwarded-For: {address}"


async def applying(edge: Edge, *headers: str) -> list[str]:
    return [one["rule_id"] for one in (await edge.get("/_penstock/limits", *headers)).json()["limits"]]


async def statuses(edge: Edge, count: int, *headers: str, path: str = "/") -> list[int]:
    return [(await edge.get(path, *headers)).status for _ in range(count)]


async def test_each_key_type_has_its_say(edge: Edge) -> None:
    gold = {"key_type": "claim:tier", "key_value": "gold", **FEW}
    await publish(
        edge,
        {"rule_id": "u", "key_type": "user", "key_value": "u", "limit": 100, "window_seconds": 60},
        {"rule_id": "everyone", "key_type": "user", "key_value": "*", "limit": 100, "window_seconds": 60},
        {"rule_id": "gold", **gold},
        {"rule_id": "fallback", "key_type": "default", **FEW},
        {"rule_id": "off", "enabled": False, **gold},
    )
    who = edge.bearer("u", tier="gold")
    assert await applying(edge, who) == ["u", "gold", "known"]
    assert await applying(edge, edge.bearer("v", tier=7)) == ["everyone", "known"], "a claim that is no string is none"
    assert await statuses(edge, 3, who) == [200, 200, 429]
    other = edge.bearer("v", tier="gold")
    assert await statuses(edge, 1, other) == [429], "one counter for the value of the claim"
    assert await statuses(edge, 1, edge.bearer("v")) == [200], "what one rule refused was spent on no other"


async def test_default_is_for_whom_nothing_else_matches(settings: Settings, cache: Redis) -> None:
    async with edge_running(settings, cache) as edge:
        rules = [
            {"rule_id": "u", "key_type": "user", "key_value": "u", **FEW, "limit": 5},
            {"rule_id": "fallback", "key_type": "default", **FEW},
        ]
        await publish_all(Publisher(cache), map(parse_rule, rules), 1)

        async def known() -> bool:
            return await applying(edge, edge.bearer("v")) == ["fallback"]

        await eventually(known, 30, "the rules are in force")
        assert await statuses(edge, 6, edge.bearer("u")) == [200] * 5 + [429]
        assert await statuses(edge, 3, edge.bearer("v")) == [200, 200, 429]
        assert await statuses(edge, 3, edge.bearer("w")) == [200, 200, 429], "each user its own counter"
        assert await statuses(edge, 3) == [200, 200, 429], "each address too"


@pytest.mark.parametrize(("value", "counted"), [(42, "42"), (True, "true"), (1.5, "1.5"), ("", None)])
async def test_a_claim_that_is_a_number_or_boolean_is_counted(edge: Edge, value: object, counted: str | None) -> None:
    claim = {"key_type": "claim:tenant_id", **FEW}
    await publish(edge, {"rule_id": "each", "key_value": "*", **claim})
    assert await statuses(edge, 3, edge.bearer("u", tenant_id=value)) == [200, 200, 429]
    assert await statuses(edge, 1, edge.bearer("v", tenant_id=value)) == [429], "one counter for the tenant"
    assert await statuses(edge, 1, edge.bearer("u", tenant_id="another")) == [200]
    if counted:
        assert await statuses(edge, 1, edge.bearer("u", tenant_id=counted)) == [429]


@pytest.mark.parametrize("value", [None, ["gold"], {"id": 42}])
async def test_a_claim_that_is_nothing_or_nested_is_not_counted(edge: Edge, value: object) -> None:
    await publish(edge, {"rule_id": "each", "key_type": "claim:tenant_id", "key_value": "*", **FEW})
    assert await statuses(edge, 3, edge.bearer("u", tenant_id=value)) == [200, 200, 200]


async def test_addresses_networks_and_everyone_else(edge: Edge) -> None:
    await publish(
        edge,
        {"rule_id": "wide", "key_type": "ip", "key_value": "10.0.0.0/8", **FEW},
        {"rule_id": "narrow", "key_type": "ip", "key_value": "10.1.0.0/16", **FEW},
        {"rule_id": "exact", "key_type": "ip", "key_value": "10.1.1.1", **FEW},
        {"rule_id": "six", "key_type": "ip", "key_value": "2001:db8::/32", **FEW},
    )
    for address, rule_id in [
        ("10.1.1.1", "exact"),
        ("::ffff:10.1.1.1", "exact"),
        ("10.1.1.2", "narrow"),
        ("10.2.1.1", "wide"),
        ("2001:db8:1:2::3", "six"),
        ("192.0.2.1", "known"),
    ]:
        assert await applying(edge, came_from(address)) == [rule_id], address
    assert await statuses(edge, 2, came_from("10.2.0.1")) == [200, 200]
    assert await statuses(edge, 1, came_from("10.3.0.1")) == [429], "one counter for the network"


async def test_addresses_of_one_64_are_one(edge: Edge) -> None:
    each = {"rule_id": "each", "key_type": "ip", "key_value": "*", "priority": 1, **FEW}
    await publish(edge, {**each, "match": {"path_prefix": "/v6"}})
    for number in range(2):
        assert await statuses(edge, 1, came_from(f"2001:db8:1:2::{number}"), path="/v6") == [200]
    assert await statuses(edge, 1, came_from("2001:db8:1:2:ffff::9"), path="/v6") == [429]
    assert await statuses(edge, 1, came_from("2001:db8:1:3::"), path="/v6") == [200]


async def test_priority_then_the_exact_then_the_longest_prefix(edge: Edge) -> None:
    everyone = {"key_type": "user", "key_value": "*", **FEW}
    await publish(
        edge,
        {"rule_id": "first", **everyone, "priority": 9, "match": {"path_prefix": "/first"}},
        {"rule_id": "own", "key_type": "user", "key_value": "u", **FEW, "match": {"methods": ["GET"]}},
        {"rule_id": "short", **everyone, "match": {"path_prefix": "/a"}},
        {"rule_id": "long", **everyone, "match": {"path_prefix": "/a/b"}},
    )

    async def policy(path: str, user: str) -> str:
        return (await edge.get(path, edge.bearer(user))).headers["ratelimit-policy"].split(";")[0]

    assert await policy("/first", "u") == '"first"'
    assert await policy("/a/b/c", "u") == '"own"'
    assert await policy("/a/b/c", "v") == '"long"'
    assert await policy("/a/bc", "v") == '"short"'
    assert await policy("/ab", "v") == '"known"'


async def test_a_request_costs_what_its_rule_says(edge: Edge) -> None:
    await publish(edge, {"rule_id": "dear", "key_type": "user", "key_value": "*", **FEW, "limit": 7, "cost": 3})
    assert await statuses(edge, 3, edge.bearer("u")) == [200, 200, 429]


async def test_a_sliding_window_counts_exactly_and_forgets(edge: Edge) -> None:
    rule = {"rule_id": "exact", "key_type": "user", "key_value": "*", "algorithm": "sliding_window"}
    await publish(edge, {**rule, "limit": 3, "window_seconds": 5})
    who = edge.bearer("u")
    started = time.monotonic()
    assert await statuses(edge, 3, who) == [200] * 3
    refused = await edge.get("/", who)
    assert (refused.status, 1 <= int(refused.headers["retry-after"]) <= 5) == (429, True)
    ttls = [await edge.cache.pttl(key) async for key in edge.cache.scan_iter("*exact*")]
    assert ttls and all(0 < ttl <= 60_000 for ttl in ttls), "no key without a TTL"

    async def again() -> bool:
        return (await edge.get("/", who)).status == 200

    await eventually(again, 30, "the window has passed")
    assert time.monotonic() - started >= 5


async def test_a_shadow_rule_counts_and_never_enforces(edge: Edge) -> None:
    await publish(edge, {"rule_id": "dark", "key_type": "user", "key_value": "*", **FEW, "shadow": True})
    answers = [await edge.get("/", edge.bearer("u")) for _ in range(5)]
    assert {answer.status for answer in answers} == {200}
    assert all("dark" not in answer.headers["ratelimit-policy"] for answer in answers)
    assert edge.counted("penstock_shadow_refusals_total", rule_id="dark") == 3


async def test_a_shadow_rule_takes_no_other_rules_place(edge: Edge) -> None:
    each = {"key_type": "user", "key_value": "*", "limit": 3, "window_seconds": 3600}
    shop, in_shop = {"match": {"path_prefix": "/shop"}}, {"match": {"path_prefix": "/shop/x"}}
    await publish(
        edge,
        {"rule_id": "shop", **each, **shop},
        {"rule_id": "dark", **each, **in_shop, "limit": 1, "shadow": True},
        {"rule_id": "dark-ip", "key_type": "ip", "key_value": "*", "limit": 1, "window_seconds": 3600, "shadow": True},
    )
    assert await statuses(edge, 5, edge.bearer("u"), path="/shop/x") == [200, 200, 200, 429, 429]
    assert edge.counted("penstock_shadow_refusals_total", rule_id="dark") >= 2
    # The rule of everyone else applies as if there were no shadow rule.
    answer = await edge.get("/elsewhere", edge.bearer("u"))
    assert answer.headers["ratelimit-policy"].startswith('"known"')
    assert edge.counted("penstock_shadow_refusals_total", rule_id="dark-ip") >= 1


async def test_plans_by_a_claim_and_strangers_by_address(edge: Edge) -> None:
    users = {"key_type": "user", "key_value": "*", **FEW}
    public = {"anonymous": True, "path_prefix": "/public"}
    await publish(
        edge,
        {"rule_id": "free", "match": {"claims": {"plan": "free"}}, **users},
        {"rule_id": "pro", "match": {"claims": {"plan": ["pro", "team"]}}, **users, "limit": 3},
        {"rule_id": "strangers", "key_type": "ip", "key_value": "*", "match": public, **FEW},
    )
    for user in ("u", "v"):  # a counter for each of them
        assert await statuses(edge, 3, edge.bearer(user, plan="free")) == [200, 200, 429]
    assert await statuses(edge, 4, edge.bearer("w", plan="team")) == [200, 200, 200, 429]
    assert await statuses(edge, 3, came_from("192.0.2.7"), path="/public") == [200, 200, 429]
    known = (came_from("192.0.2.7"), edge.bearer("x", plan="none"))
    assert await statuses(edge, 3, *known, path="/public") == [200, 200, 200]
    assert await applying(edge, edge.bearer("x", plan="none")) == ["known"]
