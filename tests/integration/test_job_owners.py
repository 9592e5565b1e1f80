"""Another owner's job is not there, whatever is tried, nor told from one that never was."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from app.edge.poll_limit import PollLimit
from app.jobs.model import new_job_id
from app.queue.flows import Flows
from app.settings import Settings
from tests.support.edge_in_process import Edge, Said
from tests.support.job_steps import DRAIN, JOBS, Client, answered, client, edge_for_jobs, leased

NOT_SAID = {"date"}


@pytest.fixture
async def edge(settings: Settings, cache: Redis) -> AsyncIterator[Edge]:
    async with edge_for_jobs(settings, cache) as running:
        yield running


def heard(answer: Said, job_id: str) -> tuple[int, dict[str, str], bytes]:
    """All of an answer but the time, and the id that the caller named itself."""
    headers = {name: value for name, value in answer.headers.items() if name not in NOT_SAID}
    return answer.status, headers, answer.body.replace(job_id.encode(), b"ID")


@pytest.mark.parametrize("state", ["queued", "running", "succeeded", "canceled"])
async def test_anothers_job_is_answered_as_an_unknown_one(edge: Edge, flows: Flows, state: str) -> None:
    alice = await client(edge, "alice", drain=DRAIN)
    job = (await alice.defer())["id"]
    if state == "canceled":
        assert (await alice.ask("DELETE", f"{JOBS}/{job}")).status == 204
    elif state != "queued":
        [running] = await leased(flows)
        if state == "succeeded":
            await answered(flows, running)
    unknown = new_job_id(0)
    for stranger in (Client(edge, (edge.bearer("bob"),)), Client(edge), Client(edge, (edge.bearer("Alice"),))):
        for method, path in (("GET", ""), ("GET", "/response"), ("DELETE", "")):
            theirs = await stranger.ask(method, f"{JOBS}/{job}{path}")
            assert theirs.status == 404
            assert heard(theirs, job) == heard(await stranger.ask(method, f"{JOBS}/{unknown}{path}"), unknown)
    assert (await alice.job(job))["status"] == state, "nothing was done to it"


async def test_no_other_writing_of_an_id_leads_to_the_job(edge: Edge) -> None:
    alice = await client(edge, "alice", drain=DRAIN)
    job = (await alice.defer())["id"]
    partition, _, random = job.partition("-")
    writings = [
        job.swapcase(), f"0{job}", f"00{job}", f"1-{random}", f"fff-{random}", f"ffffffffff-{random}", f"-1-{random}",
        f"-{random}", f"{partition}-{random}x", f"{partition}-{random[:-1]}", f"{partition}{random}", f"+{job}",
        f"{job}%20", f"%20{job}", f"{job}%0a", f"{job}%00", f"{job}/", f"{job};x", f"x/../{job}", f"%2e%2e/jobs/{job}",
        f"..%2fjobs%2f{job}", f"/{job}", f"{{q0}}:job:{job}", f"job:{job}", "*", "%2a", "..", "0-",
        f"{partition}-{random}%7d", "0x0-" + random, "٠-" + random,
    ]  # fmt: skip
    for writing in writings:
        for who in (alice, Client(edge, (edge.bearer("bob"),)), Client(edge)):
            for path in ("", "/response"):
                answer = await who.ask("GET", f"{JOBS}/{writing}{path}")
                assert answer.status in {400, 404}, (writing, answer)
            answer = await who.ask("DELETE", f"{JOBS}/{writing}")
            assert answer.status in {400, 404}, (writing, answer)
    assert (await alice.job(job))["status"] == "queued"
    escaped = "".join(f"%{ord(char):02x}" for char in job)
    for same, status in ((escaped, 200), (f"{job}%2fresponse", 202)):
        assert (await alice.ask("GET", f"{JOBS}/{same}")).status == status, "the same, percent-encoded"
        assert (await Client(edge).ask("GET", f"{JOBS}/{same}")).status == 404


async def test_the_same_subject_of_another_issuer_is_someone_else(settings: Settings, cache: Redis, edge: Edge) -> None:
    alice = await client(edge, "alice", drain=DRAIN)
    job = (await alice.defer("/x", "Idempotency-Key: k"))["id"]
    async with edge_for_jobs(settings, cache, jwt_issuer="another") as other:
        namesake = Client(other, (other.bearer("alice", iss="another"),))
        assert (await namesake.ask("GET", JOBS)).json()["jobs"] == []
        for method, path in (("GET", ""), ("GET", "/response"), ("DELETE", "")):
            assert (await namesake.ask(method, f"{JOBS}/{job}{path}")).status == 404
        assert (await namesake.defer("/x", "Idempotency-Key: k"))["id"] != job


async def test_a_list_is_its_owners_wherever_it_begins(edge: Edge) -> None:
    alice = await client(edge, "alice", drain=DRAIN)
    bob = Client(edge, (edge.bearer("bob"),))
    theirs = [(await alice.defer())["id"] for _ in range(3)]
    mine = [(await bob.defer())["id"] for _ in range(2)]
    following = (await alice.ask("GET", f"{JOBS}?limit=1")).json()["next"]
    cursor = following.partition("before=")[2]
    assert theirs[-1] in cursor
    for before in (cursor, f"9{cursor}"[:16] + cursor[16:], f"1-{theirs[0]}", f"{9**16}-{theirs[0]}"):
        listed = (await bob.ask("GET", f"{JOBS}?before={before}")).json()["jobs"]
        assert {job["id"] for job in listed} <= set(mine)
    for before in ("", "x", theirs[0], "*", f"-1-{theirs[0]}", f"1-{theirs[0]}%0a", f"{10**17}-{theirs[0]}", "%00"):
        assert (await bob.ask("GET", f"{JOBS}?before={before}")).status == 422
    for limit in ("0", "101", "-1", "x"):
        assert (await bob.ask("GET", f"{JOBS}?limit={limit}")).status == 422


async def test_behind_one_address_the_anonymous_see_each_others_jobs_by_id_alone(edge: Edge) -> None:
    """Two users behind one NAT: the edge can't tell them apart, so nothing but the id opens a job."""
    anonymous = await client(edge, None, drain=DRAIN)
    mine, theirs = (await anonymous.defer("/mine"))["id"], (await anonymous.defer("/theirs"))["id"]
    assert (await anonymous.ask("GET", JOBS)).status == 401
    assert (await anonymous.ask("GET", f"{JOBS}?before=1-{mine}")).status == 401
    limits = (await anonymous.ask("GET", "/_penstock/limits")).body
    assert mine.encode() not in limits
    assert theirs.encode() not in limits
    assert (await anonymous.job(theirs))["status"] == "queued", "whoever knows the id"
    someone = Client(edge, (edge.bearer("someone"),))
    assert (await someone.ask("GET", JOBS)).json()["jobs"] == []
    assert (await someone.job(mine))["id"] == mine


async def test_ids_hold_nothing_to_guess_by(edge: Edge) -> None:
    anonymous = await client(edge, None, drain=DRAIN)
    ids = [(await anonymous.defer())["id"] for _ in range(20)]
    randoms = [job_id.partition("-")[2] for job_id in ids]
    assert {job_id.partition("-")[0] for job_id in ids} == {"0"}
    assert all(len(random) == 22 for random in randoms)
    for at in range(21):  # the last character has but 2 bits
        assert len({random[at] for random in randoms}) > 5, "no time, no counter"


async def test_a_caller_that_polls_too_often_is_told_when_and_nobody_else(
    settings: Settings, cache: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 1000.0
    monkeypatch.setattr("app.main.PollLimit", lambda per_s: PollLimit(per_s, lambda: now_s))
    async with edge_for_jobs(settings, cache, poll_limit_per_s=2) as edge:
        alice, bob, nobody = (Client(edge, (edge.bearer(who),)) for who in ("alice", "bob", "nobody"))
        path = f"{JOBS}/{new_job_id(0)}"
        answers = [await alice.ask("GET", path) for _ in range(20)]
        refused = [answer for answer in answers if answer.status == 429]
        assert [answer.status for answer in answers] == [404] * 2 + [429] * 18
        assert {answer.headers["content-type"] for answer in refused} == {"application/problem+json"}
        assert (await alice.ask("DELETE", path)).status == 429, "one limit for all of it"
        assert (await alice.ask("GET", JOBS)).status == 429
        for other in (bob, nobody, Client(edge)):
            assert (await other.ask("GET", path)).status == 404
        assert (await alice.ask("GET", "/elsewhere")).status == 200, "it is about polls"
        now_s += int((await alice.ask("GET", path)).headers["retry-after"])
        assert (await alice.ask("GET", path)).status == 404


async def test_a_page_counts_for_the_poll_limit_by_its_size(settings: Settings, cache: Redis) -> None:
    async with edge_for_jobs(settings, cache, poll_limit_per_s=20) as edge:

        async def statuses(who: str, limit: int, times: int) -> list[int]:
            client = Client(edge, (edge.bearer(who),))
            answers = await asyncio.gather(*(client.ask("GET", f"{JOBS}?limit={limit}") for _ in range(times)))
            return sorted(answer.status for answer in answers)

        assert await statuses("alice", 10, 20) == [200] * 20
        assert 429 in await statuses("bob", 100, 20), "200 requests, of which 20 and 20 a second are allowed"


async def test_a_page_never_counts_for_more_than_the_whole_poll_limit(settings: Settings, cache: Redis) -> None:
    async with edge_for_jobs(settings, cache, poll_limit_per_s=2) as edge:
        alice = Client(edge, (edge.bearer("alice"),))
        assert (await alice.ask("GET", f"{JOBS}?limit=100")).status == 200
