"""What an edge does by the action of a rule: it blocks before it counts, exempts, and defers whatever is left."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from app.queue.flows import Flows
from app.settings import Settings
from tests.support.edge_in_process import EVERY_ADDRESS, EVERY_USER, Edge, edge_running, in_force
from tests.support.fault_proxy import Fault, proxied
from tests.support.job_steps import JOBS, Client, answered, edge_for_jobs, leased
from tests.support.waiting import eventually

FEW = {"limit": 2, "window_seconds": 3600}
REQUESTS, SHADOWS = "penstock_requests_total", "penstock_shadow_refusals_total"


@pytest.fixture
async def edge(settings: Settings, cache: Redis) -> AsyncIterator[Edge]:
    async with edge_for_jobs(settings, cache) as running:
        yield running


async def left(edge: Edge, *headers: str) -> dict[str, int | None]:
    """What is left of each limit that applies."""
    limits = (await edge.get("/_penstock/limits", *headers)).json()["limits"]
    return {one["rule_id"]: one.get("remaining") for one in limits}


async def test_a_blocked_request_is_403_and_costs_nothing(edge: Edge) -> None:
    who = edge.bearer("u")
    await edge.rule("few", **EVERY_USER, **FEW)
    await edge.rule("wall", **EVERY_ADDRESS, action="block", match={"path_prefix": "/admin"})
    await in_force(edge, "few", who)
    await in_force(edge, "wall", who, path="/admin")
    for path in ("/admin", "/admin/x?y=1", "//admin", "/%61dmin"):
        answer = await edge.get(path, who)
        assert (answer.status, answer.headers["content-type"]) == (403, "application/problem+json")
        assert answer.json() == {
            "type": "about:blank", "title": "Forbidden", "status": 403, "detail": "The rule wall blocks this request.",
        }  # fmt: skip
    assert await left(edge, who) == {"few": 2}
    assert edge.app_server.arrived == []
    assert edge.counted(REQUESTS, decision="block") == 4
    assert edge.counted("penstock_refusals_total", status="403") == 0
    assert [(await edge.get("/", who)).status for _ in range(3)] == [200, 200, 429]
    assert (await edge.get("/admin", who)).status == 403, "over the limit too"
    limits = (await edge.get("/_penstock/limits?path=/admin", who)).json()["limits"]
    assert limits[1] == {"rule_id": "wall", "action": "block"}


async def test_a_shadow_rule_that_blocks_is_only_counted(edge: Edge) -> None:
    await edge.rule("few", **EVERY_ADDRESS, **FEW)
    await in_force(edge, "few")
    await edge.rule("dark", **EVERY_USER, action="block", shadow=True)
    who = edge.bearer("u")

    async def counted() -> bool:
        await edge.get("/_penstock/limits", who)
        return (await edge.get("/", who)).status == 429 and edge.counted(SHADOWS, rule_id="dark") > 0

    await eventually(counted, 30, "the shadow rule is counted, also where the request is refused")
    before = edge.counted(SHADOWS, rule_id="dark")
    assert [(await edge.get("/", who)).status for _ in range(3)] == [429] * 3
    assert edge.counted(SHADOWS, rule_id="dark") == before + 3
    assert edge.counted(REQUESTS, decision="block") == 0


async def test_an_exempt_request_meets_no_rule_of_a_lower_priority(edge: Edge) -> None:
    who = edge.bearer("u")
    await edge.rule("few", **EVERY_USER, **FEW)
    await edge.rule("health", **EVERY_ADDRESS, action="allow", priority=1, match={"path_prefix": "/healthz"})
    await in_force(edge, "few", who)
    await in_force(edge, "health", who, path="/healthz")
    answers = [await edge.get("/healthz", who) for _ in range(5)]
    assert [answer.status for answer in answers] == [200] * 5
    assert all("ratelimit" not in answer.headers for answer in answers)
    assert await left(edge, who) == {"few": 2}
    await edge.rule("few", **EVERY_USER, **FEW, priority=1)
    await eventually(lambda: applies(edge, "few", who), 30, "a rule of the same priority applies")
    assert [(await edge.get("/healthz", who)).status for _ in range(3)] == [200, 200, 429]


async def applies(edge: Edge, rule_id: str, *headers: str) -> bool:
    limits = (await edge.get("/_penstock/limits?path=/healthz", *headers)).json()["limits"]
    return rule_id in [one["rule_id"] for one in limits]


async def test_where_no_rule_means_no_an_exempt_request_has_one(settings: Settings, cache: Redis) -> None:
    async with edge_running(settings, cache, no_rule="deny") as edge:
        await edge.rule("health", **EVERY_ADDRESS, action="allow", match={"path_prefix": "/healthz"})
        await in_force(edge, "health", path="/healthz")
        assert [(await edge.get(path)).status for path in ("/healthz", "/")] == [200, 403]


async def always_deferred(edge: Edge, user: str, **more: object) -> Client:
    await edge.rule("batch", **EVERY_USER, **{"action": "defer", "limit": 2, "window_seconds": 60, **more})
    await in_force(edge, "batch", edge.bearer(user))
    return Client(edge, (edge.bearer(user),))


async def test_what_is_always_deferred_spends_nothing_until_it_is_sent(edge: Edge, flows: Flows) -> None:
    alice = await always_deferred(edge, "alice")
    made = [await alice.ask("POST", f"/work/{number}", body=b"x") for number in range(5)]
    assert [answer.status for answer in made] == [202] * 5
    jobs = [answer.json() for answer in made]
    assert [job["position"] for job in jobs] == [1, 2, 3, 4, 5]
    assert jobs[0]["eta_seconds"] == 0, "its quota has units, so it is due at once"
    assert {job["rule_id"] for job in jobs} == {"batch"}
    assert await left(edge, edge.bearer("alice")) == {"batch": 2}
    assert edge.app_server.arrived == []
    assert edge.counted(REQUESTS, decision="defer") == 5
    assert [job.id for job in await leased(flows)][:1] == [jobs[0]["id"]]


async def test_another_rule_that_rejects_comes_first(edge: Edge) -> None:
    who = edge.bearer("alice")
    alice = await always_deferred(edge, "alice")
    await edge.rule("few", **EVERY_ADDRESS, limit=1, window_seconds=3600, priority=1, match={"methods": ["GET"]})
    await in_force(edge, "few", who)
    assert (await edge.get("/")).status == 200, "without a token only the limit of the address applies"
    refused = await edge.get("/", who)
    assert (refused.status, refused.json()["violated-policies"]) == (429, ["few"])
    assert (await alice.ask("POST", "/work")).status == 202


async def test_a_full_flow_is_429_and_says_why(edge: Edge) -> None:
    alice = await always_deferred(edge, "alice", queue={"max_depth": 1})
    assert (await alice.ask("POST", "/work")).status == 202
    full = await alice.ask("POST", "/work")
    why = "The rule batch defers every request, and deferring it is no use: its queue is full."
    assert (full.status, full.json()["detail"]) == (429, why)


async def test_idempotency_keys_of_what_is_always_deferred(edge: Edge, flows: Flows) -> None:
    alice = await always_deferred(edge, "alice")
    job = (await alice.ask("POST", "/pay", "Idempotency-Key: k", body=b"1")).json()["id"]
    again = await alice.ask("POST", "/pay", "Idempotency-Key: k", body=b"1")
    assert (again.status, again.json()["id"]) == (202, job)
    [running] = await leased(flows)
    await answered(flows, running)
    done = await alice.ask("POST", "/pay", "Idempotency-Key: k", body=b"1")
    assert (done.status, done.json()["id"], done.json()["status"]) == (200, job, "succeeded")
    other = await alice.ask("POST", "/pay", "Idempotency-Key: k", body=b"2")
    assert other.status == 422
    listed = (await alice.ask("GET", f"{JOBS}?limit=10")).json()["jobs"]
    assert [one["id"] for one in listed] == [job]


@pytest.mark.parametrize(("on_store_failure", "status"), [("local", 202), ("open", 202), ("closed", 503)])
async def test_without_counters_it_is_deferred_all_the_same(
    settings: Settings, cache: Redis, on_store_failure: str, status: int
) -> None:
    async with (
        proxied(settings.cache_redis_url) as (url, proxy),
        edge_for_jobs(settings, cache, cache_redis_url=url, counters_timeout_ms=500) as edge,
    ):
        alice = await always_deferred(edge, "alice", on_store_failure=on_store_failure)
        await edge.rule("wall", **EVERY_ADDRESS, action="block", match={"path_prefix": "/admin"})
        await in_force(edge, "wall", edge.bearer("alice"), path="/admin")
        await proxy.set(Fault.HANG)
        asked = [alice.ask("POST", f"/work/{number}") for number in range(4)]
        answers = await asyncio.gather(*asked, alice.ask("POST", "/admin"))
        assert [answer.status for answer in answers] == [status] * 4 + [403], "to block needs no counters"
        assert edge.app_server.arrived == []
