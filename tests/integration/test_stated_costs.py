"""Requests that state what they cost: counted, refused and deferred by it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from app.edge import denial_cache
from app.settings import Settings
from tests.support.edge_in_process import EVERY_ADDRESS, EVERY_USER, Edge, Said, edge_running, in_force

X_COST = {"header": "X-Cost", "default": 1, "max": 50}
HUNDRED = {"limit": 100, "window_seconds": 36_000}
FROM_MEMORY = "penstock_denied_from_memory_total"


@pytest.fixture
async def edge(settings: Settings, cache: Redis) -> AsyncIterator[Edge]:
    async with edge_running(settings, cache) as running:
        yield running


async def ask(edge: Edge, who: str, cost: object = None, path: str = "/") -> Said:
    return await edge.get(path, who, *([] if cost is None else [f"X-Cost: {cost}"]))


def left(said: Said) -> int:
    return int(said.headers["ratelimit"].split("r=")[1].split(";")[0])


async def test_a_request_takes_what_it_states(edge: Edge) -> None:
    who = edge.bearer("u")
    await edge.rule("tokens", **EVERY_USER, **HUNDRED, cost=X_COST)
    await in_force(edge, "tokens", who)
    spent = 0
    for stated, cost in ((None, 1), (7, 7), (7, 7), ("x", 1), (0, 1), (1000, 50)):
        spent += cost
        said = await ask(edge, who, stated)
        assert (said.status, left(said)) == (200, 100 - spent)
    assert [value for name, value in edge.app_server.arrived[-1].headers if name == b"x-cost"] == [b"1000"]
    assert (await ask(edge, edge.bearer("v"), 50)).status == 200


async def test_a_cheap_request_is_not_refused_because_a_dear_one_was(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(denial_cache, "MAX_AGE_S", 60.0)
    who = edge.bearer("u")
    await edge.rule("tokens", **EVERY_USER, **HUNDRED, cost=X_COST)
    await in_force(edge, "tokens", who)
    assert [(await ask(edge, who, 45)).status for _ in range(2)] == [200, 200]
    refused = [await ask(edge, who, 45) for _ in range(3)]
    assert [(said.status, left(said)) for said in refused] == [(429, 10)] * 3
    assert edge.counted(FROM_MEMORY) == 2, "the same cost is refused from memory"
    dearer = await ask(edge, who, 50)
    assert int(dearer.headers["retry-after"]) > int(refused[0].headers["retry-after"])
    assert "t=" + dearer.headers["retry-after"] in dearer.headers["ratelimit"], "until a request of this cost passes"
    assert [(await ask(edge, who, 5)).status for _ in range(3)] == [200, 200, 429]
    assert (await ask(edge, who, 45)).status == 429


async def test_beside_rules_that_cost_as_always(edge: Edge) -> None:
    who = edge.bearer("u")
    await edge.rule("tokens", **EVERY_USER, **HUNDRED, cost=X_COST)
    await edge.rule("each", **EVERY_ADDRESS, limit=5, window_seconds=36_000)
    await in_force(edge, "tokens", who)
    await in_force(edge, "each", who)
    said = await ask(edge, who, 20)
    assert '"tokens";r=80' in said.headers["ratelimit"]
    assert '"each";r=4' in said.headers["ratelimit"]


async def limits(edge: Edge, *headers: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await edge.get("/_penstock/limits", *headers)).json()["limits"]
    return found


async def test_limits_are_shown_for_the_cost_that_is_stated(edge: Edge) -> None:
    who = edge.bearer("u")
    await edge.rule("tokens", **EVERY_USER, **HUNDRED, cost=X_COST)
    await in_force(edge, "tokens", who)
    assert [(await ask(edge, who, 45)).status for _ in range(2)] == [200, 200]
    for stated, cost, waits in (("x", 1, False), ("10", 10, False), ("30", 30, True), ("99", 50, True)):
        [limit] = await limits(edge, who, f"X-Cost: {stated}")
        assert (limit["cost"], limit["remaining"], limit["wait_seconds"] > 0) == (cost, 10, waits)


async def test_a_job_keeps_its_cost(edge: Edge, queue: Redis) -> None:
    who = edge.bearer("u")
    await edge.rule("tokens", **EVERY_USER, **HUNDRED, cost=X_COST, on_limit="defer", queue={"max_wait_seconds": 10**6})
    await in_force(edge, "tokens", who)
    assert [(await ask(edge, who, 50)).status for _ in range(2)] == [200, 200]
    for stated in (50, 7, None):
        assert (await ask(edge, who, stated)).status == 202
    [flow] = [key async for key in queue.scan_iter("*flow:*:jobs")]
    waiting: list[Any] = await queue.zrange(flow, 0, -1)
    members = [member.decode().partition(" ") for member in waiting]
    assert [costs or "1" for _, _, costs in members] == ["50", "7", "1"]
