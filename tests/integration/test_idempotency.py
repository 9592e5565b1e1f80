"""Idempotency keys: a repeated request is the same job, never a second one."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from app.queue import keys
from app.queue.flows import Flows
from app.redis_wire.scripts import source
from app.settings import Settings
from tests.support.edge_in_process import Edge
from tests.support.flow_steps import accepted, deferral
from tests.support.job_steps import DEFERS, DRAIN, JOBS, Client, answered, client, edge_for_jobs, leased
from tests.support.waiting import eventually


@pytest.fixture
async def edge(settings: Settings, cache: Redis) -> AsyncIterator[Edge]:
    async with edge_for_jobs(settings, cache) as running:
        yield running


def key(text: str) -> str:
    return f"Idempotency-Key: {text}"


async def jobs_of(caller: Client) -> list[str]:
    return [job["id"] for job in (await caller.ask("GET", f"{JOBS}?limit=100")).json()["jobs"]]


async def test_a_deferred_request_that_drained_is_not_forwarded_when_repeated(edge: Edge, flows: Flows) -> None:
    """Looked up before deciding: the live budget would allow it again, and it would run twice."""
    alice = await client(edge, "alice", limit=1, window_seconds=3600, drain=DRAIN)
    assert (await alice.ask("POST", "/live")).status == 200
    job = (await alice.ask("POST", "/pay", key("k"), body=b"1")).json()["id"]
    [running] = await leased(flows)
    await answered(flows, running)
    counters = [name async for name in edge.cache.scan_iter("counter:*")]
    assert await edge.cache.delete(*counters) == 1, "its budget is whole again, as after an hour"

    async def within_budget() -> bool:
        [limit] = (await alice.ask("GET", "/_penstock/limits")).json()["limits"]
        return limit["remaining"] == 1 and not limit["backlog"]

    await eventually(within_budget, 30, "a live request would be forwarded")
    again = await alice.ask("POST", "/pay", key("k"), body=b"1")
    assert (again.status, again.json()["id"], again.json()["status"]) == (200, job, "succeeded")
    assert again.headers["location"] == f"http://edge.test{JOBS}/{job}"
    assert "retry-after" not in again.headers
    assert await within_budget(), "it spent nothing"
    assert [exchange.head.split(b" ")[1] for exchange in edge.app_server.arrived] == [b"/live"]


async def test_a_repeated_request_is_its_job_however_that_stands(edge: Edge, flows: Flows) -> None:
    alice = await client(edge, "alice", drain=DRAIN)
    job = (await alice.defer("/pay", key("k"), body=b"1"))["id"]
    for state, status in (("queued", 202), ("running", 202), ("succeeded", 200)):
        if state == "running":
            [running] = await leased(flows)
        elif state == "succeeded":
            await answered(flows, running)
        again = await alice.ask("POST", "/pay", key('"k"'), body=b"1")
        assert (again.status, again.json()["id"], again.json()["status"]) == (status, job, state)
        assert ("retry-after" in again.headers) == (status == 202)
    canceled = (await alice.defer("/pay", key("c"), body=b"1"))["id"]
    await alice.ask("DELETE", f"{JOBS}/{canceled}")
    again = await alice.ask("POST", "/pay", key("c"), body=b"1")
    assert (again.status, again.json()["status"]) == (200, "canceled")
    assert await jobs_of(alice) == [canceled, job]


async def test_a_key_stands_for_one_request(edge: Edge) -> None:
    alice = await client(edge, "alice", drain=DRAIN)
    text = "Content-Type: text/plain"
    job = (await alice.defer("/pay?a=1", key("k"), text, body=b"1"))["id"]
    different = [
        ("POST", "/pay?a=1", text, b"2"),
        ("PUT", "/pay?a=1", text, b"1"),
        ("POST", "/pay?a=2", text, b"1"),
        ("POST", "/pay?a=1", "Content-Type: application/json", b"1"),
        ("POST", "/pay?a=1", text, b""),
        ("POST", "/pay?a=1", text, b"x" * ((1 << 20) + 1)),
    ]
    for method, target, content_type, body in different:
        answer = await alice.ask(method, target, key("k"), content_type, body=body)
        assert (answer.status, answer.headers["content-type"]) == (422, "application/problem+json")
    same = await alice.ask("POST", "/pay?a=1", key("k"), text, "X-Else: 1", body=b"1")
    assert (same.status, same.json()["id"]) == (202, job)
    assert await jobs_of(alice) == [job]


async def test_another_owners_key_is_another_key(edge: Edge) -> None:
    alice = await client(edge, "alice", drain=DRAIN)
    bob = Client(edge, (edge.bearer("bob"),))
    ids = {(await who.defer("/pay", key("k"), body=body))["id"] for who, body in ((alice, b"1"), (bob, b"2"))}
    assert len(ids) == 2
    anonymous = await Client(edge).ask("POST", "/pay", key("k"), body=b"1")
    assert anonymous.status == 200, "no deferring rule is about it: the key is the app server's"
    await edge.rule("every", key_type="ip", key_value="*", limit=1, window_seconds=1000, on_limit="defer")

    async def refused() -> bool:
        return (await Client(edge).ask("POST", "/pay", key("k"), body=b"1")).status == 400

    await eventually(refused, 30, "the anonymous have no keys where a request is deferred")


@pytest.mark.parametrize(
    ("written", "status"),
    [
        ('"k"', 202), ("k", 202), ("8e03978e-40d5-43e8-bc93-6894a57f9324", 202), ('"a b"', 202), ("a/b:c", 202),
        (r'"\""', 202), (r'"\\"', 202), ('"' + "x" * 255 + '"', 202), ("x" * 255, 202), ('"' + r"\"" * 255 + '"', 202),
        ('""', 400), ("", 400), ("x" * 256, 400), ('"' + "x" * 256 + '"', 400), ('"k', 202), ('k"', 202), ('"', 202),
        ('"a", "b"', 400), ("a, b", 400), ("a b", 400), (r'"\x"', 202), ('"k";a=1', 202), ("'k'", 202), ("(k)", 202),
        (":Zm9v:", 202), ("?1", 202), ('"caf\u00e9"', 400), ("k\u00e9", 400), ("\t", 400), ('"\t"', 400), ("{k}", 202),
        ("Zm9vYg==", 202), ('"Zm9vYg=="', 202), ("a,b", 202),
    ],
)  # fmt: skip
async def test_a_key_is_a_string_or_visible_ascii(edge: Edge, written: str, status: int) -> None:
    alice = await client(edge, "alice", drain=DRAIN)
    assert (await alice.ask("POST", "/live")).status == 200
    answers = [await alice.ask("POST", "/pay", key(written), body=b"1") for _ in range(2)]
    assert [answer.status for answer in answers] == [status, status]
    if status == 202:
        assert answers[0].json()["id"] == answers[1].json()["id"]
    else:
        assert answers[0].headers["content-type"] == "application/problem+json"
        assert await jobs_of(alice) == []


async def test_two_keys_are_none(edge: Edge) -> None:
    alice = await client(edge, "alice", drain=DRAIN)
    assert (await alice.ask("POST", "/live")).status == 200
    assert (await alice.ask("POST", "/pay", key("a"), key("b"))).status == 400
    assert await jobs_of(alice) == []


async def test_a_string_is_what_it_says(edge: Edge) -> None:
    alice = await client(edge, "alice", drain=DRAIN)
    first = await alice.defer("/pay", key(r'"a\"b"'))
    assert (await alice.defer("/pay", key(r'"a\\b"')))["id"] != first["id"]
    assert len(await jobs_of(alice)) == 2


async def test_a_quoted_and_a_bare_key_are_one(edge: Edge) -> None:
    alice = await client(edge, "alice", drain=DRAIN)
    job = (await alice.defer("/pay", key("Zm9vYg=="), body=b"1"))["id"]
    assert (await alice.defer("/pay", key('"Zm9vYg=="'), body=b"1"))["id"] == job
    assert (await alice.defer("/pay", key('"Zm9vYg==";a'), body=b"1"))["id"] != job


async def test_a_key_within_the_limit_is_the_app_servers(edge: Edge) -> None:
    alice = await client(edge, "alice", limit=1000, burst=1000)
    assert (await alice.ask("POST", "/pay", key("Zm9vYg=="), body=b"1")).status == 200


@pytest.mark.parametrize("rejecting", [False, True], ids=["deferred", "under_a_rule_that_rejects"])
async def test_repeats_spend_from_the_poll_limit(settings: Settings, cache: Redis, rejecting: bool) -> None:
    async with edge_for_jobs(settings, cache, poll_limit_per_s=0.2) as edge:
        alice = Client(edge, (edge.bearer("alice"),))
        await edge.rule("defer", **DEFERS, drain=DRAIN)

        async def deferred() -> bool:
            return (await alice.ask("POST", "/else")).status == 202

        await eventually(deferred, 30, "the rule is in force")
        job = (await alice.defer("/pay", key("k"), body=b"1"))["id"]
        if rejecting:
            await edge.rule("reject", key_type="ip", key_value="*", limit=1, window_seconds=1000, priority=9)

            async def rejected() -> bool:
                return (await Client(edge).ask("POST", "/else")).status == 429

            await eventually(rejected, 30, "the rule is in force, and its limit spent by another caller")
        answers = [await alice.ask("POST", "/pay", key("k"), body=b"1") for _ in range(5)]
        assert (answers[0].status, answers[0].json()["id"]) == (202, job)
        assert 429 in {answer.status for answer in answers}
        refused = [answer for answer in answers if answer.status == 429]
        assert all(1 <= int(answer.headers["retry-after"]) <= 5 for answer in refused)
        conflicts = [(await alice.ask("POST", "/pay", key("k"), body=b"2")).status for _ in range(5)]
        assert 429 in set(conflicts) <= {422, 429}, "a conflict is a repeat, too"
        assert (await alice.ask("POST", "/pay", key("new"), body=b"1")).status == (429 if rejecting else 202)


async def test_many_at_once_are_one_job(edge: Edge, flows: Flows) -> None:
    alice = await client(edge, "alice", drain=DRAIN)
    assert (await alice.ask("POST", "/live")).status == 200
    answers = await asyncio.gather(*(alice.ask("POST", "/pay", key("k"), body=b"1") for _ in range(20)))
    assert {answer.status for answer in answers} == {202}
    [job] = {answer.json()["id"] for answer in answers}
    assert await jobs_of(alice) == [job]
    assert [one.id for one in await leased(flows, 50)] == [job]
    others = await asyncio.gather(*(alice.ask("POST", "/pay", key("d"), body=b"%d" % n) for n in range(20)))
    assert sorted(answer.status for answer in others) == [202] + [422] * 19


async def test_a_forwarded_requests_key_is_not_recorded(edge: Edge) -> None:
    alice = await client(edge, "alice", drain=DRAIN)
    assert (await alice.ask("POST", "/pay", key("k"), body=b"1")).status == 200
    answer = await alice.ask("POST", "/pay", key("k"), body=b"2")
    assert answer.status == 202, "no 422: the key is the app server's to know"
    [first, *_] = edge.app_server.arrived
    assert (b"idempotency-key", b"k") in first.headers


async def test_a_key_goes_with_its_jobs_result(edge: Edge, flows: Flows) -> None:
    alice = await client(edge, "alice", drain=DRAIN, queue={"result_ttl_seconds": 1})
    job = (await alice.defer("/pay", key("k"), body=b"1"))["id"]
    [running] = await leased(flows)
    assert (await alice.ask("POST", "/pay", key("k"), body=b"1")).json()["id"] == job
    await answered(flows, running)

    async def gone() -> bool:
        return (await alice.ask("GET", f"{JOBS}/{job}")).status == 404

    await eventually(gone, 30, "the result goes")
    again = await alice.ask("POST", "/pay", key("k"), body=b"2")
    assert (again.status, again.json()["id"] != job) == (202, True)


async def test_a_key_and_its_jobs_record_expire_at_the_same_time(
    flows: Flows, queue: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where Redis is stopped for ten seconds after it has looked at its clock, which the test sets back for it."""

    def stopped(package: str, name: str) -> str:
        text, asked = source(package, name), "time[1] * 1000000"
        assert text.count(asked) == 1
        return text.replace(asked, "(time[1] - 10) * 1000000")

    job_id = await accepted(flows, deferral(idempotency_key="k"))
    [running] = await leased(flows)
    monkeypatch.setattr("app.redis_wire.scripts.source", stopped)
    await answered(flows, running)
    name = keys.idempotency(0, "own", "k")
    longest_ms, record_ms, shortest_ms = [await queue.pttl(one) for one in (name, keys.record(0, job_id), name)]
    assert 0 < shortest_ms <= record_ms <= longest_ms
