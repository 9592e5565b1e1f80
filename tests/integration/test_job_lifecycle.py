"""Listing, canceling, reading the answer, and forgetting: what the Jobs API says of jobs that a worker handles."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any, cast

import pytest
from redis.asyncio import Redis

from app.jobs.model import JobStatus, StoredResponse
from app.queue import keys
from app.queue.flows import Flows
from app.queue.model import Settlement
from app.settings import Settings
from tests.support.edge_in_process import Edge
from tests.support.flow_steps import LONG_US, ids, take
from tests.support.job_steps import DRAIN, JOBS, Client, answered, ask_raw, client, edge_for_jobs, leased
from tests.support.waiting import eventually

SAFE = {b"x-content-type-options": b"nosniff", b"content-security-policy": b"sandbox"}
TTL = {"result_ttl_seconds": 1, "dead_letter_ttl_seconds": 1}


@pytest.fixture
async def edge(settings: Settings, cache: Redis) -> AsyncIterator[Edge]:
    async with edge_for_jobs(settings, cache) as running:
        yield running


async def pages(caller: Client, limit: int, between: int = 0) -> tuple[list[str], list[str]]:
    """The ids of all pages, and those of jobs that were added between them."""
    listed, added = [], []
    target: str | None = f"{JOBS}?limit={limit}"
    while target is not None:
        page = (await caller.ask("GET", target)).json()
        assert len(page["jobs"]) <= limit
        listed += [job["id"] for job in page["jobs"]]
        target = page["next"] and page["next"].removeprefix("http://edge.test")
        added += [(await caller.defer())["id"] for _ in range(between)]
    return listed, added


async def test_paging_leaves_nothing_out_and_repeats_nothing_while_jobs_are_added(edge: Edge) -> None:
    alice = await client(edge, "alice", drain=DRAIN)
    before = [(await alice.defer())["id"] for _ in range(23)]
    listed, added = await pages(alice, 5, between=3)
    assert listed == before[::-1]
    everything, _ = await pages(alice, 7)
    assert everything == (before + added)[::-1]


async def test_paging_goes_on_where_jobs_went_and_over_many_partitions(
    settings: Settings, cache: Redis, queue: Redis
) -> None:
    async with edge_for_jobs(settings, cache, queue_partitions=7) as edge:
        alice = await client(edge, "alice", key_value="alice", drain=DRAIN)
        made = [(await alice.defer())["id"] for _ in range(6)]
        await edge.rule("elsewhere", key_type="claim:tier", key_value="*", limit=1, window_seconds=3600,
                        on_limit="defer", drain=DRAIN)  # fmt: skip
        await edge.cache.hset("rules:index", "claim:tier", "1")
        await edge.cache.incr("rules:version", 2)  # a message was missed: all is read anew
        for tier in range(12):  # other flows, so other partitions
            bearer = edge.bearer("alice", tier=str(tier), sub="alice2")
            second = Client(edge, (bearer,))

            async def deferred(who: Client = second) -> bool:
                answer = await who.ask("POST", "/x")
                if answer.status == 202:
                    made.append(answer.json()["id"])
                return answer.status == 202

            await eventually(deferred, 30, "the claim's rule is in force")
        mine = made[6:]
        assert len({job_id.partition("-")[0] for job_id in mine}) > 2
        listed, _ = await pages(Client(edge, (edge.bearer("alice2"),)), 4)
        assert listed == mine[::-1]
        for gone in mine[2:9]:
            await queue.delete(keys.record(int(gone.partition("-")[0], 16), gone))
        listed, _ = await pages(Client(edge, (edge.bearer("alice2"),)), 3)
        assert listed == (mine[:2] + mine[9:])[::-1]


async def test_after_a_cancel_the_next_move_up_and_the_canceled_is_never_leased(edge: Edge, flows: Flows) -> None:
    alice = await client(edge, "alice", drain={"limit": 1, "window_seconds": 10})
    first, second, third, fourth = [(await alice.defer())["id"] for _ in range(4)]
    was = await alice.job(fourth)
    assert was["position"] == 4
    assert [(await alice.ask("DELETE", f"{JOBS}/{second}")).status for _ in range(2)] == [204, 204]
    now = await alice.job(fourth)
    assert now["position"] == 3
    assert 8 <= was["eta_seconds"] - now["eta_seconds"] <= 12
    assert (await alice.ask("DELETE", f"{JOBS}/{first}")).status == 204
    assert [(await alice.job(one))["position"] for one in (third, fourth)] == [1, 2]
    assert ids(tuple(await leased(flows, 10))) == [third, fourth]


async def test_a_job_can_be_canceled_until_it_is_sent_and_while_it_backs_off(edge: Edge, flows: Flows) -> None:
    alice = await client(edge, "alice", drain=DRAIN)
    job = (await alice.defer())["id"]
    [running] = await leased(flows)
    refused = await alice.ask("DELETE", f"{JOBS}/{job}")
    assert (refused.status, refused.json()["detail"]) == (409, "The job is running.")
    await flows.release([running])
    [running] = await leased(flows)
    assert await flows.retry(running, 3600, "upstream_error", "It failed.", give_back=False)
    assert (await alice.job(job))["status"] == "retrying"
    assert (await alice.ask("DELETE", f"{JOBS}/{job}")).status == 204
    assert (await alice.job(job))["status"] == "canceled"
    assert await flows.settle([Settlement(running, JobStatus.SUCCEEDED)]) == [False]
    assert await leased(flows) == []


async def test_canceled_and_sent_exclude_each_other(edge: Edge, flows: Flows) -> None:
    alice = await client(edge, "alice", drain=DRAIN)
    jobs = [(await alice.defer())["id"] for _ in range(60)]
    sent: list[str] = []
    some_are_sent = asyncio.Event()

    async def send() -> None:
        [flow] = await take(flows)
        while answer := await flows.lease(flow, 2, consumer="c", keep_us=LONG_US):
            sent.extend(ids(answer.jobs))
            some_are_sent.set()
            for job in answer.jobs:
                await answered(flows, job)

    async def cancel(job: str) -> int:
        await some_are_sent.wait()
        return (await alice.ask("DELETE", f"{JOBS}/{job}")).status

    _, *statuses = await asyncio.gather(send(), *(cancel(job) for job in reversed(jobs)))
    outcome = dict(zip(reversed(jobs), statuses, strict=True))
    assert set(statuses) == {204, 409}, "both were tried"
    assert {job for job, status in outcome.items() if status == 409} == set(sent)
    for job, status in outcome.items():
        assert (await alice.job(job))["status"] == ("canceled" if status == 204 else "succeeded")


async def test_an_answer_is_replayed_as_it_was(edge: Edge, flows: Flows) -> None:
    alice = await client(edge, "alice", drain=DRAIN)
    job = (await alice.defer())["id"]
    [running] = await leased(flows)
    headers = [(b"content-type", b"text/plain;charset=latin-1"), (b"set-cookie", b"a=1"), (b"x-latin", b"caf\xe9"),
               (b"set-cookie", b"b=2"), (b"content-encoding", b"gzip"), (b"content-length", b"999"), (b"etag", b'"x"'),
               (b"cache-control", b"public, max-age=3600"), (b"retry-after", b"7"), (b"location", b"/a"),
               (b"date", b"Tue, 01 Jan 2030 00:00:00 GMT")]  # fmt: skip
    await answered(flows, running, StoredResponse(418, headers, b"\x1f\x8b\0\r\n\xff"))
    raw = await ask_raw(edge, "GET", f"{JOBS}/{job}/response", *alice.who)
    head, _, body = raw.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    assert status.split(b" ")[1] == b"418"
    assert body == b"\x1f\x8b\0\r\n\xff"
    found = [(name.lower(), value) for name, _, value in (line.partition(b": ") for line in lines)]
    framed = {b"content-length", b"cache-control", b"connection", b"penstock-job-status", *SAFE}
    assert [one for one in found if one[0] not in framed] == [one for one in headers if one[0] not in framed]
    assert [value for name, value in found if name == b"content-length"] == [b"6"]
    assert [value for name, value in found if name == b"cache-control"] == [b"no-store"]
    assert [value for name, value in found if name == b"penstock-job-status"] == [b"succeeded"]
    assert {name: value for name, value in found if name in SAFE} == SAFE


async def test_what_changes_a_browsers_state_goes_to_the_owner_alone(edge: Edge, flows: Flows) -> None:
    headers = [(b"content-type", b"text/html"), (b"set-cookie", b"a=1"), (b"set-cookie2", b"a=1"),
               (b"clear-site-data", b'"*"'), (b"x-content-type-options", b"sniff")]  # fmt: skip
    for subject in ("alice", None):
        who = await client(edge, subject, drain=DRAIN)
        job = (await who.defer())["id"]
        [running] = await leased(flows)
        await answered(flows, running, StoredResponse(200, headers, b"<script>"))
        raw = await ask_raw(edge, "GET", f"{JOBS}/{job}/response", *who.who)
        found = raw.partition(b"\r\n\r\n")[0].lower().split(b"\r\n")
        state = [line for line in found if line.startswith((b"set-cookie", b"clear-site-data"))]
        assert len(state) == (3 if subject else 0)
        assert [line for line in found if line.startswith(b"x-content")] == [b"x-content-type-options: nosniff"]
        assert b"content-security-policy: sandbox" in found


@pytest.mark.parametrize(
    ("declared", "shown"), [(b"5000", b"content-length: 5000"), (None, None), (b"0", b"content-length: 0")]
)
async def test_a_deferred_head_has_the_length_that_the_app_server_said(
    edge: Edge, flows: Flows, declared: bytes | None, shown: bytes | None
) -> None:
    alice = await client(edge, "alice", drain=DRAIN)
    await alice.defer()  # the live request is spent
    await leased(flows)
    job = (await alice.ask("HEAD", "/x")).headers["penstock-job-id"]
    [running] = await leased(flows)
    headers = [] if declared is None else [(b"content-length", declared)]
    await answered(flows, running, StoredResponse(200, headers, b""))
    for method in ("HEAD", "GET"):
        raw = await ask_raw(edge, method, f"{JOBS}/{job}/response", *alice.who)
        head, _, body = raw.partition(b"\r\n\r\n")
        lengths = [line for line in head.split(b"\r\n") if line.startswith(b"content-length")]
        has_length = shown is not None and (method == "HEAD" or declared == b"0")
        assert lengths == ([shown] if has_length else []), "an answer to GET has no length that it does not have"
        assert body == (b"" if method == "HEAD" or has_length else b"0\r\n\r\n")


async def test_head_is_answered_where_get_is(edge: Edge, flows: Flows) -> None:
    alice = await client(edge, "alice", drain=DRAIN)
    job = (await alice.defer())["id"]
    [running] = await leased(flows)
    await answered(flows, running)
    for path in ("/healthz", "/readyz", "/limits", "/jwks.json", "/openapi.json", "/jobs", f"/jobs/{job}",
                 f"/jobs/{job}/response", "/jobs/0-none"):  # fmt: skip
        await eventually(partial(heads_are_the_same, alice, f"/_penstock{path}"), 5, f"the same head: {path}")
    refused = await alice.ask("PUT", f"{JOBS}/{job}")
    assert (refused.status, refused.headers["allow"]) == (405, "DELETE, GET, HEAD")


async def heads_are_the_same(client: Client, path: str) -> bool:
    """Times in the answer may have another number of digits when it is asked for again."""
    get, head = [await client.ask(method, path) for method in ("GET", "HEAD")]
    assert (head.status, head.body) == (get.status, b""), path
    return {**head.headers, "date": ""} == {**get.headers, "date": ""}


async def test_a_client_knows_a_202_of_penstock(edge: Edge, flows: Flows) -> None:
    alice = await client(edge, "alice", drain=DRAIN)
    await alice.ask("POST", "/x")
    key = 'Idempotency-Key: "one"'
    for status, state in ((202, "queued"), (202, "running"), (200, "succeeded")):
        if state == "running":
            [running] = await leased(flows)
        elif state == "succeeded":
            await answered(flows, running)
        answer = await alice.ask("POST", "/x", key)
        job = answer.json()
        assert (answer.status, answer.headers["penstock-job-status"]) == (status, state)
        assert (answer.headers["penstock-job-id"], job["status"]) == (job["id"], state)


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_without_a_body_has_none(edge: Edge, flows: Flows, status: int) -> None:
    alice = await client(edge, "alice", drain=DRAIN)
    job = (await alice.defer())["id"]
    [running] = await leased(flows)
    await answered(flows, running, StoredResponse(status, [(b"etag", b'"x"')], b""))
    answer = await alice.ask("GET", f"{JOBS}/{job}/response")
    assert (answer.status, answer.headers["etag"], answer.body) == (status, '"x"', b"")
    assert "content-length" not in answer.headers
    assert (await alice.job(job))["response"] == {"status": status, "stored": True}


async def test_each_end_has_its_answer(edge: Edge, flows: Flows) -> None:
    alice = await client(edge, "alice", drain=DRAIN)
    large, failed, canceled = [(await alice.defer())["id"] for _ in range(3)]
    [one, other] = await leased(flows, 2)
    pending = await alice.ask("GET", f"{JOBS}/{large}/response")
    assert (pending.status, pending.headers["penstock-job-status"], pending.headers["retry-after"]) == (
        202,
        "running",
        "1",
    )
    await answered(flows, one, StoredResponse(200, [], None))
    cause = StoredResponse(500, [], b"trace")
    await flows.settle([Settlement(other, JobStatus.FAILED, "attempts_exhausted", "It failed.", cause)])
    await alice.ask("DELETE", f"{JOBS}/{canceled}")
    expected = {
        large: (410, "succeeded", None),
        failed: (502, "failed", "attempts_exhausted"),
        canceled: (410, "canceled", None),
    }
    for job, (status, said, code) in expected.items():
        answer = await alice.ask("GET", f"{JOBS}/{job}/response")
        assert (answer.status, answer.headers["penstock-job-status"]) == (status, said)
        assert answer.headers["content-type"] == "application/problem+json"
        assert "retry-after" not in answer.headers
        assert answer.json().get("error", {}).get("code") == code
        shown = await alice.job(job)
        assert shown["resourceLocation"] == shown["links"]["response"] == f"http://edge.test{JOBS}/{job}/response"
        assert (shown["error"] or {}).get("code") == code
    assert (await alice.job(large))["response"] == {"status": 200, "stored": False}


async def test_a_job_past_its_time_is_gone(edge: Edge, flows: Flows) -> None:
    alice = await client(edge, "alice", drain=DRAIN, queue={"max_wait_seconds": 0.2})
    job = (await alice.defer())["id"]

    async def ended() -> bool:
        return await flows.expire(0) == 1

    await eventually(ended, 30, "it waited for too long")
    answer = await alice.ask("GET", f"{JOBS}/{job}/response")
    assert (answer.status, answer.headers["penstock-job-status"], answer.json()["error"]["code"]) == (
        410,
        "failed",
        "expired",
    )


@pytest.mark.parametrize("end", ["succeeded", "failed", "canceled"])
async def test_an_ended_job_leaves_nothing(edge: Edge, flows: Flows, queue: Redis, end: str) -> None:
    """Nothing but its outcome, without contents, for operators to find for an hour."""
    ttl = {"result_ttl_seconds": 60, "dead_letter_ttl_seconds": 60}
    alice = await client(edge, "alice", drain=DRAIN, queue=ttl)
    outcomes = {b"{q0}:outcomes", b"{q0}:outcomes:kept"}
    structural = set(await queue.keys()) | {b"{q0}:priorities", b"{q0}:clock"} | outcomes
    job = (await alice.defer("/x", "Idempotency-Key: k", body=b"x" * 10_000))["id"]
    if end == "canceled":
        assert (await alice.ask("DELETE", f"{JOBS}/{job}")).status == 204
        assert await queue.strlen(keys.record(0, job)) < 1000, "its body goes at once"
    else:
        [running] = await leased(flows)
        await flows.settle([Settlement(running, JobStatus(end), "x", "y", StoredResponse(200, [], b"z"))])
    assert (await alice.job(job))["expires_at"] is not None
    dead = b"{q0}:dead"  # it has no time to live, but forgets those whose records are gone
    ending = set(await queue.keys()) - structural - {dead}
    assert keys.record(0, job).encode() in ending
    for name in ending:
        assert 0 < await queue.pttl(name) <= 60_000, name
        assert await queue.pexpire(name, 1)

    async def forgotten() -> bool:
        await flows.expire(0)
        return set(await queue.keys()) <= structural

    await eventually(forgotten, 30, "all of it is gone")
    assert (await alice.ask("GET", f"{JOBS}/{job}")).status == 404
    assert (await alice.ask("GET", JOBS)).json()["jobs"] == []
    assert [0 < await queue.ttl(key) <= 3600 for key in outcomes] == [True, True]
    [(_, entry)] = cast("list[Any]", await queue.xrange("{q0}:outcomes"))
    assert len(entry[b"jobs"]) < 400


async def test_the_list_of_a_busy_owner_stays_in_proportion(flows: Flows, edge: Edge, queue: Redis) -> None:
    """Jobs that end and go, beside a dead letter that stays: the list must not keep all that ever were."""
    alice = await client(edge, "alice", drain=DRAIN)
    await alice.defer()
    [kept] = await leased(flows)
    await flows.settle([Settlement(kept, JobStatus.FAILED, "x", "y")])
    [index] = [name for name in await queue.keys() if b":owner:" in name]
    for _ in range(5):
        for _ in range(40):
            await alice.defer()
        jobs = await leased(flows, 100)
        for job in jobs:
            await answered(flows, job)
        assert await queue.delete(*(keys.record(0, job.id) for job in jobs)) == 40  # as if their time were over
    for _ in range(40):
        await alice.defer()
    for job in await leased(flows, 100):
        await answered(flows, job)
    assert 41 <= await queue.zcard(index) <= 41 + 100, "of the 200 that are gone most are forgotten"
    listed, _ = await pages(alice, 100)
    assert len(listed) == 41
    assert listed[-1] == kept.id


async def test_a_short_rule_does_not_shorten_the_list_of_a_long_one(edge: Edge, queue: Redis, flows: Flows) -> None:
    alice = await client(edge, "alice", drain=DRAIN, queue={"result_ttl_seconds": 3600})
    job = (await alice.defer())["id"]
    await edge.rule("rule-user", key_type="user", key_value="*", limit=1, window_seconds=3600, on_limit="defer",
                    drain=DRAIN, queue=TTL | {"max_wait_seconds": 1})  # fmt: skip

    async def short() -> bool:
        await alice.defer()
        [index] = [name for name in await queue.keys() if b":owner:" in name]
        assert await queue.pttl(index) > 3_000_000
        newest = (await alice.ask("GET", f"{JOBS}?limit=1")).json()["jobs"][0]["id"]
        assert (await alice.ask("DELETE", f"{JOBS}/{newest}")).status == 204
        expires = await queue.pttl(keys.record(0, newest))
        return expires <= 1000

    await eventually(short, 30, "the short rule is in force")
    await asyncio.sleep(1.2)
    assert job in (await pages(alice, 50))[0]


async def test_dead_letters_that_are_gone_are_forgotten(edge: Edge, flows: Flows, queue: Redis) -> None:
    alice = await client(edge, "alice", drain=DRAIN, queue=TTL)
    for _ in range(10):
        await alice.defer()
    jobs = await leased(flows, 10)
    await flows.settle([Settlement(job, JobStatus.FAILED, "x", "y") for job in jobs])
    assert await queue.zcard("{q0}:dead") == 10

    async def forgotten() -> bool:
        await flows.expire(0)  # as workers do every second
        return await queue.zcard("{q0}:dead") == 0

    await eventually(forgotten, 30, "they are gone with their records")
