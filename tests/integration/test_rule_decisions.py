"""Edges count their decisions by rule."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from app.edge import rule_decisions
from app.edge.rule_decisions import DecisionsByRule
from app.settings import Settings
from tests.support.edge_in_process import EVERY_ADDRESS, EVERY_USER, Edge, edge_running, in_force

COUNTED = "penstock_rule_decisions_total"


@pytest.fixture
async def edge(settings: Settings, cache: Redis) -> AsyncIterator[Edge]:
    async with edge_running(settings, cache) as running:
        yield running


def decisions(edge: Edge, rule_id: str) -> list[float]:
    return [edge.counted(COUNTED, rule_id=rule_id, decision=one) for one in ("forward", "reject", "defer", "block")]


async def test_each_rule_that_applies_counts_what_is_forwarded_and_those_that_decide_the_rest(edge: Edge) -> None:
    await edge.rule("mine", **EVERY_USER, limit=2, window_seconds=7200)
    await edge.rule("ours", **EVERY_ADDRESS, limit=1000, window_seconds=3600)
    await edge.rule("silent", key_type="ip", key_value="127.0.0.0/8", limit=1, window_seconds=60, shadow=True)
    deferring = {"on_limit": "defer", "queue": {"max_wait_seconds": 86_400}}
    await edge.rule("later", key_type="user", key_value="w", priority=5, limit=1, window_seconds=7200, **deferring)
    await edge.rule("never", key_type="user", key_value="b", priority=9, action="block")
    mine, later, never = (edge.bearer(name) for name in ("u", "w", "b"))
    for rule_id, who in (("mine", mine), ("ours", mine), ("later", later)):
        await in_force(edge, rule_id, who)
    before = {rule_id: decisions(edge, rule_id) for rule_id in ("mine", "ours", "silent", "later", "never")}
    assert [(await edge.get("/", mine)).status for _ in range(12)] == [200] * 2 + [429] * 10
    assert [(await edge.get("/", later)).status for _ in range(3)] == [200, 202, 202]
    assert (await edge.get("/", never)).status == 403
    counted = {
        rule_id: [now - then for now, then in zip(decisions(edge, rule_id), before[rule_id], strict=True)]
        for rule_id in before
    }
    assert counted == {
        "mine": [2, 10, 0, 0],
        "ours": [3, 0, 0, 0],
        "silent": [0, 0, 0, 0],
        "later": [1, 0, 2, 0],
        "never": [0, 0, 0, 1],
    }


def test_rules_beyond_the_first_ones_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rule_decisions, "MAX_RULES", 2)
    by_rule = DecisionsByRule()
    for rule_id in ("a", "b", "c", "d", "a"):
        by_rule.of(rule_id).forward += 1
    samples = {
        sample.labels["rule_id"]: sample.value
        for sample in by_rule.family().samples
        if sample.labels["decision"] == "forward"
    }
    assert samples == {"a": 2, "b": 1, "other": 2}
