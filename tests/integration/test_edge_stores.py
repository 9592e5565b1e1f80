"""What an edge answers by its rules, and while a store is away."""

import re
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from app.rules import keys
from app.settings import Settings
from tests.support.edge_in_process import EVERY_ADDRESS, EVERY_USER, Edge, edge_running, in_force
from tests.support.fault_proxy import Fault, proxied
from tests.support.ports import free_port
from tests.support.waiting import eventually


@pytest.fixture
async def edge(settings: Settings, cache: Redis) -> AsyncIterator[Edge]:
    async with edge_running(settings, cache) as running:
        yield running


async def test_rules_outlive_an_emptied_cache(edge: Edge, cache: Redis) -> None:
    await edge.rule("one", **EVERY_ADDRESS, limit=1, window_seconds=3600)
    await in_force(edge, "one")
    assert [(await edge.get("/")).status for _ in range(2)] == [200, 429]
    await cache.flushall()

    async def free() -> bool:
        return (await edge.get("/")).status == 200

    await eventually(free, 30, "the edge, which keeps a refusal in mind for a second, asks again")
    assert [(await edge.get("/")).status for _ in range(2)] == [429, 429], "one extra burst, never no limits"


async def test_rules_that_were_never_known_are_a_503(edge: Edge, cache: Redis) -> None:
    await cache.delete(keys.VERSION)
    answer = await edge.get("/")
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert answer.headers["content-type"] == "application/problem+json"


async def test_rules_that_were_never_known_may_be_no_rules(settings: Settings, cache: Redis) -> None:
    async with edge_running(settings, cache, rules_unavailable="open") as edge:
        await cache.delete(keys.VERSION)
        assert (await edge.get("/")).status == 200


async def test_a_shadow_rule_is_no_rule(settings: Settings, cache: Redis) -> None:
    async with edge_running(settings, cache, no_rule="deny") as edge:
        for shadow, status in [(True, 403), (False, 200)]:
            await edge.rule("r", key_type="ip", key_value="*", limit=5, window_seconds=60, shadow=shadow)

            async def answered(status: int = status) -> bool:
                return (await edge.get("/")).status == status

            await eventually(answered, 30, f"shadow={shadow} is obeyed")


async def test_no_rule_may_mean_no(settings: Settings, cache: Redis) -> None:
    async with edge_running(settings, cache, no_rule="deny") as edge:
        assert (await edge.get("/")).status == 403
        await edge.rule("some", **EVERY_USER, limit=1, window_seconds=3600)
        await in_force(edge, "some", edge.bearer("u"))
        assert (await edge.get("/", edge.bearer("u"))).status == 200


@pytest.mark.parametrize(("on_store_failure", "status"), [("open", 200), ("closed", 503), ("local", 200)])
async def test_counters_that_cannot_be_read(
    settings: Settings, cache: Redis, on_store_failure: str, status: int
) -> None:
    async with (
        proxied(settings.cache_redis_url) as (url, proxy),
        edge_running(settings, cache, cache_redis_url=url, counters_timeout_ms=500) as edge,
    ):
        await edge.rule("one", **EVERY_ADDRESS, limit=9, window_seconds=60, on_store_failure=on_store_failure)
        await in_force(edge, "one")
        await proxy.set(Fault.HANG)
        answer = await edge.get("/")
        assert answer.status == status
        assert ("retry-after" in answer.headers) == (status == 503)
        await proxy.set(Fault.NONE)

        async def back() -> bool:
            return (await edge.get("/")).headers.get("ratelimit", "").startswith('"one";r=')

        await eventually(back, 30, "the counters answer again")


async def test_a_queue_that_is_away_stops_deferring_alone(settings: Settings, cache: Redis) -> None:
    async with edge_running(settings, cache, queue_redis_url=f"redis://127.0.0.1:{free_port()}/0") as edge:
        await edge.rule("one", **EVERY_ADDRESS, limit=1, window_seconds=3600, on_limit="defer")
        await in_force(edge, "one")
        answers = [await edge.get("/") for _ in range(2)]
        assert [answer.status for answer in answers] == [200, 503]
        assert int(answers[1].headers["retry-after"]) >= 1
        assert (await edge.get("/_penstock/readyz")).status == 200
        assert (await edge.get("/_penstock/jobs/0-" + "x" * 22)).status == 503


async def test_retry_after_is_never_earlier_than_any_t(edge: Edge) -> None:
    who = edge.bearer("u")
    await edge.rule("later", **EVERY_USER, limit=1, window_seconds=3600, on_limit="defer")
    await edge.rule("soon", **EVERY_ADDRESS, limit=1, window_seconds=30)
    await in_force(edge, "later", who)
    await in_force(edge, "soon", who)
    assert (await edge.get("/", who)).status == 200
    refused = await edge.get("/", who)
    assert (refused.status, refused.json()["violated-policies"]) == (429, ["soon"])
    times = [int(found) for found in re.findall(r"t=(\d+)", refused.headers["ratelimit"])]
    assert times == [int(refused.headers["retry-after"])]


async def test_a_shadow_rule_asks_for_nothing(edge: Edge) -> None:
    await edge.rule("shadow", **EVERY_ADDRESS, limit=1, window_seconds=3600, on_limit="defer", shadow=True)
    await edge.rule("seen", **EVERY_USER, limit=1, window_seconds=3600)
    await in_force(edge, "seen", edge.bearer("u"))  # and with it the one before, which shows nowhere
    for _ in range(3):
        answer = await edge.get("/", "Idempotency-Key: k")
        assert answer.status == 200
        assert "ratelimit" not in answer.headers


async def test_the_anonymous_have_no_idempotency_keys_where_a_request_is_deferred(edge: Edge) -> None:
    assert (await edge.get("/", "Idempotency-Key: k")).status == 200
    await edge.rule("one", **EVERY_ADDRESS, limit=1, window_seconds=3600, on_limit="defer")
    await in_force(edge, "one")
    within = await edge.get("/", "Idempotency-Key: k")
    assert within.status == 200, "it is the app server's key"
    assert (b"idempotency-key", b"k") in edge.app_server.arrived[-1].headers
    over = await edge.get("/", "Idempotency-Key: k")
    assert (over.status, "needs a token" in over.json()["detail"]) == (400, True)
    assert (await edge.get("/")).status == 202, "without a key it is deferred"


async def test_polling_is_limited_even_to_less_than_one_a_second(settings: Settings, cache: Redis) -> None:
    async with edge_running(settings, cache, poll_limit_per_s=0.01) as edge:
        answers = [await edge.get("/_penstock/limits") for _ in range(2)]
        assert [answer.status for answer in answers] == [200, 429]
        assert 1 <= int(answers[1].headers["retry-after"]) <= 100
        assert (await edge.get("/_penstock/limits", edge.bearer("another"))).status == 200


@pytest.mark.parametrize(
    "path", ["healthz", "readyz", "jwks.json", "limits", "openapi.json", "jobs", "jobs/", "jobs/x", "nothing"]
)
async def test_no_cache_keeps_what_is_ours(edge: Edge, path: str) -> None:
    answer = await edge.get(f"/_penstock/{path}")
    assert answer.headers["cache-control"] == "no-store"
    assert "date" in answer.headers
    assert not edge.app_server.arrived
