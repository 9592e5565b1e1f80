"""Stores that answer late: a caller's first request waits for its rules, and everything else has its reason."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from app.errors import RulesUnavailable
from app.identity.caller import Caller
from app.rules import keys
from app.rules.cache import RuleCache
from app.settings import Settings
from tests.support.edge_in_process import Edge, edge_running, in_force
from tests.support.fault_proxy import Fault, FaultProxy, proxied
from tests.support.ports import free_port
from tests.support.waiting import eventually

LATER_S = 0.4
"""Far more than the counters' deadline of 25 ms and far less than that of the rules."""
UNAVAILABLE, WITHOUT_COUNTERS = "penstock_unavailable_total", "penstock_without_counters_total"
EACH = {"key_type": "user", "key_value": "*", "limit": 5, "window_seconds": 3600}


@asynccontextmanager
async def edge_behind_proxy(settings: Settings, cache: Redis) -> AsyncIterator[tuple[Edge, FaultProxy]]:
    deadlines = {"counters_timeout_ms": 25.0, "rules_timeout_ms": 20_000.0, "cache_timeout_ms": 30_000.0}
    async with (
        proxied(settings.cache_redis_url) as (url, proxy),
        edge_running(settings, cache, cache_redis_url=url, **deadlines) as edge,
    ):
        yield edge, proxy


async def test_a_callers_first_request_waits_for_its_rules(settings: Settings, cache: Redis) -> None:
    async with edge_behind_proxy(settings, cache) as (edge, proxy):
        await edge.rule("each", **EACH, on_store_failure="local")
        await in_force(edge, "each", edge.bearer("known"))
        proxy.latency_s = LATER_S
        with capture_logs() as lines:
            answers = [await edge.get("/", edge.bearer(f"u{number}")) for number in range(5)]
        assert [answer.status for answer in answers] == [200] * 5
        reasons = {"counters_timeout"}
        assert sum(edge.counted(WITHOUT_COUNTERS, reason=reason) for reason in reasons) == 5
        logged = [line for line in lines if line["event"] == "decided_without_counters"]
        assert {line["reason"] for line in logged} == reasons
        assert logged[0]["left_out"] == 0
        assert sum(1 + line["left_out"] for line in logged) <= 5


async def test_every_answer_503_is_counted_and_logged_by_its_reason(settings: Settings, cache: Redis) -> None:
    async with edge_behind_proxy(settings, cache) as (edge, proxy):
        await edge.rule("each", **EACH, on_store_failure="closed")
        await in_force(edge, "each", edge.bearer("known"))
        proxy.latency_s = LATER_S

        async def late() -> bool:
            return (await edge.get("/", edge.bearer("known"))).status == 503

        await eventually(late, 30, "the counters are too slow")
        before = [edge.counted(name, reason="counters_timeout") for name in (UNAVAILABLE, WITHOUT_COUNTERS)]
        with capture_logs() as lines:
            answers = [await edge.get("/", edge.bearer("known")) for _ in range(10)]
            limits = await edge.get("/_penstock/limits", edge.bearer("known"))
        assert [answer.status for answer in answers] + [limits.status] == [503] * 11
        after = [edge.counted(name, reason="counters_timeout") for name in (UNAVAILABLE, WITHOUT_COUNTERS)]
        assert [now - then for now, then in zip(after, before, strict=True)] == [11, 10]
        logged = [line for line in lines if line["event"] == "answered_unavailable"]
        assert len(logged) < 10, "at most one a second"
        assert all(line["error"] for line in logged)


async def test_lost_rules_and_a_queue_that_is_away_have_their_reasons(settings: Settings, cache: Redis) -> None:
    away = f"redis://127.0.0.1:{free_port()}/0"
    async with edge_running(settings, cache, queue_redis_url=away, counters_timeout_ms=5000.0) as edge:
        await edge.rule("each", **{**EACH, "limit": 1}, on_limit="defer")
        await in_force(edge, "each", edge.bearer("u"))
        assert [(await edge.get("/", edge.bearer("u"))).status for _ in range(2)] == [200, 503]
        assert edge.counted(UNAVAILABLE, reason="queue_unreachable") == 1
        await cache.delete(keys.VERSION)
        assert (await edge.get("/", edge.bearer("new"))).status == 503
        assert edge.counted(UNAVAILABLE, reason="rules_missing") == 1


async def test_without_rules_every_forwarded_request_is_counted(settings: Settings, cache: Redis) -> None:
    async with edge_running(settings, cache, rules_unavailable="open") as edge:
        await cache.delete(keys.VERSION)
        assert (await edge.get("/")).status == 200
        assert edge.counted(WITHOUT_COUNTERS, reason="rules_missing") == 1


async def test_what_is_known_is_used_at_once_while_redis_hangs(settings: Settings, cache: Redis) -> None:
    """Only who has nothing to fall back on waits for the whole deadline."""
    known, new = Caller("known", "iss", {}, "192.0.2.1"), Caller("new", "iss", {}, "192.0.2.1")
    await cache.set(keys.VERSION, 1)
    async with proxied(settings.cache_redis_url) as (url, proxy):
        slow = Redis.from_url(url, socket_timeout=600)
        patient = RuleCache(slow, settings, deadline_s=300, fallback_after_s=0.025)
        try:
            assert await patient.applicable(known, "GET", ("/",)) == ()
            await proxy.set(Fault.HANG)
            patient._drop_all()
            assert await asyncio.wait_for(patient.applicable(known, "GET", ("/",)), 60) == ()
            hasty = RuleCache(slow, settings, deadline_s=0.05, fallback_after_s=0.025)
            with pytest.raises(RulesUnavailable) as raised:
                await hasty.applicable(new, "GET", ("/",))
            assert raised.value.reason == "rules_timeout"
        finally:
            await proxy.set(Fault.NONE)
            await slow.aclose()
