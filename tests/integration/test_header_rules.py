"""Rules by the value of a header, at a running edge on real stores."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog
from redis.asyncio import Redis

from app.rules.key_headers import KeyHeaders
from app.rules.lookup import KeyIndex
from app.settings import Settings
from sync.publisher import Publisher
from tests.support.edge_in_process import Edge, edge_running
from tests.support.rules import publish_all
from tests.support.waiting import eventually

SECRET = "0123456789abcdef0123456789abcdef"
PLAIN = "sk-live-4711-plain"
KEYED = {"key_headers": ("x-api-key", "x-tenant"), "key_secret": SECRET}
FEW = {"limit": 2, "window_seconds": 3600}
EACH: dict[str, Any] = {"rule_id": "each", "key_type": "header:x-api-key", "key_value": "*", **FEW}


@pytest.fixture
async def edge(settings: Settings, cache: Redis) -> AsyncIterator[Edge]:
    async with edge_running(settings, cache, **KEYED) as running:
        yield running


async def publish(edge: Edge, *rules: dict[str, Any], revision: int = 1) -> None:
    """Publish these as sync does; the edge knows all of them once it knows the last."""
    admit = KeyHeaders(Settings.model_validate(KEYED)).admit
    last = {"rule_id": f"known-{revision}", "key_type": "ip", "key_value": "*", "limit": 10_000, "window_seconds": 1}
    await publish_all(Publisher(edge.cache), [admit(rule) for rule in (*rules, last)], revision)

    async def known() -> bool:
        return last["rule_id"] in await applying(edge)

    await eventually(known, 30, "the rules are in force")


async def applying(edge: Edge, *headers: str) -> list[str]:
    return [one["rule_id"] for one in (await edge.get("/_penstock/limits", *headers)).json()["limits"]]


async def statuses(edge: Edge, count: int, *headers: str, path: str = "/") -> list[int]:
    return [(await edge.get(path, *headers)).status for _ in range(count)]


async def test_each_value_has_a_counter_and_no_value_has_none(edge: Edge) -> None:
    await publish(edge, EACH, EACH | {"rule_id": "big", "key_value": "key-1", "limit": 4})
    assert await statuses(edge, 3, "X-Api-Key: key-2") == [200, 200, 429]
    assert await statuses(edge, 1, "x-api-key: key-3") == [200]
    assert await statuses(edge, 5, "X-Api-Key: key-1") == [200, 200, 200, 200, 429]
    assert await statuses(edge, 3) == [200] * 3
    assert await statuses(edge, 3, "X-Api-Key:") == [200] * 3
    assert await applying(edge, "X-Api-Key: key-1") == ["big", "known-1"]
    assert await applying(edge, "X-Api-Key: key-2") == ["each", "known-1"]
    assert await applying(edge, "X-Api-Key: ") == ["known-1"]
    arrived = dict(edge.app_server.arrived[0].headers)
    assert arrived[b"x-api-key"] == b"key-2", "the app server still gets it"


async def test_a_value_is_counted_whoever_sends_it(edge: Edge) -> None:
    await publish(edge, EACH)
    key = "X-Api-Key: shared"
    answers = [await edge.get("/", key, *more) for more in ([], [edge.bearer("u")], [edge.bearer("v")])]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert await statuses(edge, 1, "X_Api_Key: shared") == [429], "some app servers read it as the same header"


async def test_what_could_be_read_in_two_ways_is_refused_only_where_it_counts(edge: Edge) -> None:
    two = ("X-Api-Key: a", "X-Api-Key: b")
    await publish(edge)
    assert await statuses(edge, 1, *two) == [200]
    await publish(edge, EACH, revision=2)
    for headers in (two, ("X-Api-Key: a", "X_Api_Key: b"), ("X-Api-Key: " + "k" * 1025,)):
        for _ in range(2):  # read, then remembered
            answer = await edge.get("/", *headers)
            assert answer.status == 400
            assert "X-Api-Key" in answer.json()["detail"]
    assert await statuses(edge, 3, "X-Api-Key: a", "X-Api-Key: a") == [200, 200, 429]
    await publish(edge, revision=3)
    assert await statuses(edge, 1, *two) == [200], "no rule counts by it any more"


async def test_a_change_of_rules_changes_who_is_counted(edge: Edge) -> None:
    await publish(edge)
    assert await statuses(edge, 3, "X-Api-Key: a", "X-Tenant: t") == [200] * 3
    await publish(edge, EACH, revision=2)
    assert await statuses(edge, 3, "X-Api-Key: a", "X-Tenant: t") == [200, 200, 429]
    await publish(edge, EACH | {"key_type": "header:x-tenant"}, revision=3)
    assert await statuses(edge, 3, "X-Api-Key: b", "X-Tenant: t") == [200, 200, 429]
    assert await statuses(edge, 1, "X-Api-Key: b", "X-Tenant: v") == [200]


async def test_an_address_rule_bounds_what_new_values_can_do(edge: Edge) -> None:
    """A client may choose a new value for each request. The rule of its address refuses it, and nothing is spent."""
    strict = {"key_type": "ip", "key_value": "*", "priority": 1, "match": {"path_prefix": "/strict"}, **FEW}
    await publish(edge, EACH, {"rule_id": "strict"} | strict)
    found = [(await statuses(edge, 1, f"X-Api-Key: random-{n}", path="/strict"))[0] for n in range(6)]
    assert found == [200, 200, 429, 429, 429, 429]
    counters = {name async for name in edge.cache.scan_iter("counter:*each*")}
    assert len(counters) == 2


async def test_composite_keys_have_a_counter_for_each_combination(edge: Edge) -> None:
    both: dict[str, Any] = {"key_type": ["user", "claim:tenant"], "key_value": ["*", "*"], **FEW}
    await publish(
        edge,
        {"rule_id": "both"} | both,
        {"rule_id": "acme"} | both | {"key_value": ["*", "acme"], "limit": 3},
        EACH | {"rule_id": "here", "key_type": ["header:x-api-key", "ip"], "key_value": ["*", "127.0.0.1"]},
        {"rule_id": "rest", "key_type": "default", "limit": 1, "window_seconds": 3600, "match": {"path_prefix": "/r"}},
    )
    alice, at_acme = edge.bearer("alice", tenant="one"), edge.bearer("alice", tenant="acme")
    assert await statuses(edge, 3, alice) == [200, 200, 429]
    assert await statuses(edge, 4, at_acme) == [200, 200, 200, 429]
    assert await statuses(edge, 1, edge.bearer("bob", tenant="one")) == [200]
    assert await statuses(edge, 3, edge.bearer("alice")) == [200] * 3, "no tenant, no combination"
    assert await applying(edge, alice) == ["both", "known-1"]
    assert await statuses(edge, 3, "X-Api-Key: a") == [200, 200, 429]
    assert await applying(edge, "X-Api-Key: b", at_acme) == ["acme", "here", "known-1"]


async def test_a_composite_key_changes_and_goes(edge: Edge) -> None:
    both: dict[str, Any] = {"rule_id": "b", "key_type": ["user", "ip"], "key_value": ["*", "*"], **FEW}
    await publish(edge, both)
    alice = edge.bearer("alice")
    assert await applying(edge, alice) == ["b", "known-1"]
    await publish(edge, both | {"key_value": ["bob", "*"]}, revision=2)
    assert await applying(edge, alice) == ["known-2"]
    assert await applying(edge, edge.bearer("bob")) == ["b", "known-2"]
    await publish(edge, revision=3)
    assert await applying(edge, edge.bearer("bob")) == ["known-3"]
    counts: Any = await edge.cache.hgetall("rules:index")
    assert KeyIndex.parse(counts).of("composite") == ()


async def test_without_the_setting_the_rule_is_reported_and_skipped(settings: Settings, cache: Redis) -> None:
    with structlog.testing.capture_logs() as lines:
        async with edge_running(settings, cache, key_headers=("x-tenant",)) as edge:
            await publish(edge, EACH, EACH | {"rule_id": "tenant", "key_type": "header:x-tenant", "secret": True})
            assert await statuses(edge, 3, "X-Api-Key: a", "X-Tenant: t") == [200] * 3
            assert await applying(edge, "X-Api-Key: a", "X-Tenant: t") == ["known-1"]
    unusable = {(line["key_type"], line["setting"]) for line in lines if line["event"] == "rules_unusable"}
    assert unusable == {("header:x-api-key", "PENSTOCK_KEY_HEADERS"), ("header:x-tenant", "PENSTOCK_KEY_SECRET")}


async def everything(*stores: Redis) -> bytes:
    """All keys of these stores, and what is behind them, as Redis itself would save it."""
    found = []
    for store in stores:
        async for name in store.scan_iter("*"):
            found += [name, await store.dump(name) or b""]
            if await store.type(name) == b"string":
                found.append(await store.get(name) or b"")
            if await store.type(name) == b"hash":
                found += [part for pair in (await store.hgetall(name)).items() for part in pair]
    return b"\n".join(map(bytes, found))


@pytest.mark.parametrize("deferred_by", ["each", "users"])
async def test_no_store_log_or_metric_has_a_secret(
    settings: Settings,
    cache: Redis,
    queue: Redis,
    capfd: pytest.CaptureFixture[str],
    deferred_by: str,
) -> None:
    """Whichever rule defers the request: the header of a secret rule is a credential."""
    named = {"key_headers": ("x-partner-key",), "key_secret": SECRET}
    async with edge_running(settings, cache, **named) as edge:
        defers = {"on_limit": "defer", "limit": 1, "window_seconds": 60}
        partner = {"key_type": "header:x-partner-key", "key_value": "*", "secret": True}
        by_user = {} if deferred_by == "each" else defers
        path = {} if deferred_by == "each" else {"match": {"path_prefix": "/elsewhere"}}
        rules = [
            EACH | partner | defers | {"rule_id": "each"} | path,
            EACH | partner | defers | {"rule_id": "one", "key_value": PLAIN} | path,
            {"rule_id": "users", "key_type": "user", "key_value": "*", "limit": 100, "window_seconds": 60} | by_user,
        ]
        admit = KeyHeaders(Settings.model_validate(named)).admit
        await publish_all(Publisher(cache), [admit(rule) for rule in rules], 1)
        who = [edge.bearer("u"), "X-Other: kept"]

        async def known() -> bool:
            return "users" in await applying(edge, *who)

        await eventually(known, 30, "the rules are in force")
        for spelled in ("X-Partner-Key", "X_Partner_Key"):
            answers = [await edge.get("/", f"{spelled}: {PLAIN}-{n % 2}", *who) for n in range(4)]
            assert answers[-1].status == 202
        answers = [await edge.get("/", f"X-Partner-Key: {PLAIN}", *who) for _ in range(2)]
        assert answers[-1].status == 202
        assert (await edge.get("/", f"X-Partner-Key: {PLAIN}", f"X-Partner-Key: {PLAIN}x", *who)).status == 400
        stored = await everything(cache, queue)
        assert b"x-other" in stored, "what is deferred is stored"
        assert PLAIN.encode() not in stored
        metrics = "\n".join(str(sample) for metric in edge.process.registry.collect() for sample in metric.samples)
        assert PLAIN not in metrics
    shown = capfd.readouterr()
    assert PLAIN not in shown.out + shown.err


async def test_a_secret_value_is_known_by_its_hash(edge: Edge) -> None:
    secret = EACH | {"secret": True}
    await publish(edge, secret, secret | {"rule_id": "one", "key_value": PLAIN, "limit": 3})
    assert await statuses(edge, 4, f"X-Api-Key: {PLAIN}") == [200, 200, 200, 429]
    assert await statuses(edge, 3, "X-Api-Key: other") == [200, 200, 429]
    assert PLAIN.encode() not in await everything(edge.cache)


async def test_flows_by_a_header_are_the_callers_own(edge: Edge, queue: Redis) -> None:
    """Who shares a key shares its counter, and still nobody waits behind another caller's jobs."""
    defers = EACH | {"on_limit": "defer", "limit": 1, "window_seconds": 60}
    await publish(edge, defers)
    key = "X-Api-Key: shared"
    await edge.get("/", key)
    jobs = await asyncio.gather(*(edge.get("/", key, *who) for who in ([], [edge.bearer("u")], [edge.bearer("v")])))
    assert [job.status for job in jobs] == [202] * 3
    assert [job.json()["position"] for job in jobs] == [1, 1, 1]
