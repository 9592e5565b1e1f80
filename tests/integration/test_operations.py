"""Operators' commands for queued and failed jobs, through the admin API and on a real Redis."""

import asyncio
import base64
from typing import Any, cast
from urllib.parse import quote

import pytest
from redis.asyncio import Redis

import app.queue.dead_letters as dead_letters_module
import app.queue.operations as operations_module
from app.errors import Conflict, NotFound
from app.jobs.model import JobStatus, StoredResponse
from app.queue import dead_letter_batches, rule_replay
from app.queue.dead_letters import DeadLetters
from app.queue.flows import Flows
from app.queue.model import Settlement
from app.queue.records import Records, stored_request
from app.redis_wire.scripts import Scripts
from app.settings import Settings
from sync.publisher import Publisher
from tests.support.admin_in_process import Admin
from tests.support.dead_letters import dead, leased, many_dead
from tests.support.flow_steps import accepted, active, deferral, ids, lease, take
from tests.support.rules import publish_all


@pytest.fixture
def dead_letters(queue: Redis, queueing: Scripts, settings: Settings) -> DeadLetters:
    return DeadLetters(queue, queueing, settings)


@pytest.fixture
async def rule_in_force(cache: Redis) -> None:
    await publish_all(Publisher(cache), [active().rule], 1)


async def test_dead_letters_are_listed_newest_first_in_pages(admin: Admin, flows: Flows) -> None:
    letters = [await dead(flows, number) for number in range(5)]
    first = (await admin("GET", "/v1/dead-letters?limit=3", role="viewer")).json()
    assert [letter["id"] for letter in first["dead_letters"]] == letters[:1:-1]
    second = (await admin("GET", f"/v1/dead-letters?limit=3&after={first['next']}")).json()
    assert [letter["id"] for letter in second["dead_letters"]] == letters[1::-1]
    assert second["next"] is None
    assert (await admin("GET", "/v1/dead-letters?rule_id=another")).json()["dead_letters"] == []
    [line, *_] = first["dead_letters"]
    assert (line["rule_id"], line["descriptor"], line["attempts"], line["response_status"]) == ("r", "user:u4", 1, 500)


async def test_a_dead_letter_is_shown_with_its_request_and_response(admin: Admin, flows: Flows) -> None:
    job_id = await dead(flows)
    found = (await admin("GET", f"/v1/dead-letters/{job_id}", role="operator")).json()
    assert found["error"] == {"code": "attempts_exhausted", "message": "The app server answered 500."}
    assert (found["request"]["method"], found["request"]["target"]) == ("POST", "/x?0")
    assert base64.b64decode(found["request"]["body"]) == b"body 0"
    assert (found["response"]["status"], found["response"]["headers"]) == (500, [["x-why", "bug"]])
    assert base64.b64decode(found["response"]["body"]) == b"broken"
    assert (await admin("GET", "/v1/dead-letters/0-" + "x" * 22)).status_code == 404
    waiting = await accepted(flows, deferral(9))
    assert (await admin("GET", f"/v1/dead-letters/{waiting}")).status_code == 409


@pytest.mark.usefixtures("rule_in_force")
async def test_a_replayed_job_is_queued_like_any_other(
    admin: Admin,
    flows: Flows,
    records: Records,
    queue: Redis,
) -> None:
    job_id = await dead(flows, idempotency_key="k")
    assert await queue.exists("{q0}:flow:r|user:u0") == 0, "its flow was gone"
    assert (await admin("POST", f"/v1/dead-letters/{job_id}/replay", role="viewer")).status_code == 403
    answers = await asyncio.gather(*(admin("POST", f"/v1/dead-letters/{job_id}/replay") for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [202, 409, 409, 409, 409], "once"
    job = await records.get(job_id)
    assert job is not None
    assert (job.status, job.attempts, job.position, job.expires_at_ms) == (JobStatus.QUEUED, 0, 1, None)
    assert (job.error_code, job.response_status, job.finished_at_ms) == (None, None, None)
    known = await flows.find_by_idempotency_key([("r", "user:u0")], "own", "k", deferral(0).request)
    assert known is not None
    assert known.id == job_id
    again = await leased(flows)
    assert (again.id, again.attempt, again.request.body) == (job_id, 1, b"body 0")
    assert await flows.settle([Settlement(again, JobStatus.SUCCEEDED, response=StoredResponse(200, [], b""))]) == [True]
    assert (await admin("GET", "/v1/dead-letters")).json()["dead_letters"] == []
    assert await queue.xlen("{q0}:jobs") == 0
    assert await queue.exists("{q0}:totals") == 0, "nothing is counted twice"


@pytest.mark.usefixtures("rule_in_force")
async def test_all_dead_letters_of_a_rule_are_replayed_oldest_first(admin: Admin, flows: Flows) -> None:
    letters = []
    for number in range(3):
        letters.append(await accepted(flows, deferral(number)))
    [flow] = await take(flows)
    for job in (await lease(flows, flow, 3)).jobs:
        await flows.settle([Settlement(job, JobStatus.FAILED, "attempts_exhausted", "It failed.")])
    answer = await admin("POST", "/v1/dead-letters/replay", {"rule_id": "r"}, "operator")
    assert answer.json() == {"replayed": 3, "problems": {}, "next": None}
    [flow] = await take(flows)
    assert ids((await lease(flows, flow, 9)).jobs) == letters
    for body in ({}, {"ids": [], "rule_id": "r"}, {"ids": "x"}):
        assert (await admin("POST", "/v1/dead-letters/replay", body)).status_code == 422
    answer = await admin("POST", "/v1/dead-letters/replay", {"ids": ["nonsense"]})
    assert answer.json() == {"replayed": 0, "problems": {"nonsense": "There is no such job."}, "next": None}


async def test_a_job_of_a_deleted_rule_is_not_replayed(admin: Admin, flows: Flows, cache: Redis) -> None:
    await publish_all(Publisher(cache), [], 1)
    job_id = await dead(flows)
    answer = await admin("POST", f"/v1/dead-letters/{job_id}/replay")
    assert answer.status_code == 409
    assert "deleted or disabled" in answer.json()["detail"]


async def test_a_job_that_does_not_exist_is_not_replayed_or_discarded(dead_letters: DeadLetters) -> None:
    for job_id in ("0-" + "x" * 22, "1-" + "x" * 22, "nonsense"):
        with pytest.raises(NotFound, match="There is no such job"):
            await dead_letters.replay(job_id, active())
        with pytest.raises(NotFound, match="There is no such job"):
            await dead_letters.discard(job_id)


async def test_a_job_that_has_not_failed_is_not_replayed_or_discarded(dead_letters: DeadLetters, flows: Flows) -> None:
    job_id = await accepted(flows, deferral(0))
    with pytest.raises(Conflict, match="The job is not a dead letter"):
        await dead_letters.replay(job_id, active())
    with pytest.raises(Conflict, match="The job is not a dead letter"):
        await dead_letters.discard(job_id)


async def test_a_job_is_not_replayed_under_a_different_rule(dead_letters: DeadLetters, flows: Flows) -> None:
    job_id = await dead(flows)
    with pytest.raises(Conflict, match="The job belongs to a different rule"):
        await dead_letters.replay(job_id, active(rule_id="another"))
    assert (await dead_letters.get(job_id)).job.status is JobStatus.FAILED


async def test_a_job_without_its_request_is_not_replayed(dead_letters: DeadLetters, flows: Flows, queue: Redis) -> None:
    job_id = await dead(flows)
    record = f"{{q0}}:job:{job_id}"
    whole = cast("bytes", await queue.get(record))
    await queue.set(record, whole.removesuffix(stored_request(whole) or b""))
    with pytest.raises(Conflict, match="The request of the job is no longer stored"):
        await dead_letters.replay(job_id, active())
    details = await dead_letters.get(job_id)
    assert (details.job.status, details.request) == (JobStatus.FAILED, None)


async def test_a_deleted_dead_letter_leaves_nothing(admin: Admin, flows: Flows, queue: Redis) -> None:
    job_id = await dead(flows, idempotency_key="k")
    assert (await admin("DELETE", f"/v1/dead-letters/{job_id}", role="viewer")).status_code == 403
    assert (await admin("DELETE", f"/v1/dead-letters/{job_id}", role="operator")).status_code == 204
    assert (await admin("DELETE", f"/v1/dead-letters/{job_id}")).status_code == 404
    left = [key async for key in queue.scan_iter() if b"job:" in key or b"idem:" in key or b"dead" in key]
    assert left == []


async def test_dead_letters_whose_record_has_expired_are_removed_from_the_list(
    admin: Admin, flows: Flows, queue: Redis
) -> None:
    job_id = await dead(flows)
    await queue.delete(f"{{q0}}:job:{job_id}")
    assert (await admin("GET", "/v1/dead-letters")).json() == {"dead_letters": [], "next": None}
    assert await queue.zcard("{q0}:dead") == 0


async def test_purging_cancels_waiting_jobs_and_does_not_affect_running_ones(
    admin: Admin,
    flows: Flows,
    records: Records,
    queue: Redis,
) -> None:
    for number in range(700):
        await accepted(flows, deferral(number, user=f"u{number % 30}"))
    other = await accepted(flows, deferral(0, active(rule_id="other")))
    taken = await take(flows)
    [flow, second] = [flow for flow in taken if flow.rule_id == "r"][:2]
    [running] = (await lease(flows, flow, 1)).jobs
    [backing_off] = (await lease(flows, second, 1)).jobs
    await flows.retry(backing_off, 60, "upstream_error", "It failed.", give_back=False)
    assert (await admin("POST", "/v1/rules/r/drain/purge", role="viewer")).status_code == 403
    assert (await admin("POST", "/v1/rules/r/drain/purge", role="operator")).json() == {"canceled": 699, "next": None}
    assert (await admin("POST", "/v1/rules/r/drain/purge")).json() == {"canceled": 0, "next": None}
    assert (await admin("POST", "/v1/rules/R!/drain/purge")).status_code == 422
    for job_id, status in [
        (running.id, JobStatus.RUNNING),
        (backing_off.id, JobStatus.CANCELED),
        (other, JobStatus.QUEUED),
    ]:
        job = await records.get(job_id)
        assert job is not None
        assert job.status is status
    assert await lease_more(flows, flow) == 0, "its worker finds nothing more"
    await flows.settle([Settlement(running, JobStatus.SUCCEEDED, response=StoredResponse(200, [], b""))])
    left = [key async for key in queue.scan_iter() if b":flow:" in key or b"rule:r" in key]
    assert sorted(left) == [b"{q0}:flow:other|user:u", b"{q0}:flow:other|user:u:jobs"]
    assert await queue.xlen("{q0}:jobs") == 1


async def lease_more(flows: Flows, flow: Any) -> int:  # noqa: ANN401
    return len((await lease(flows, flow, 5)).jobs)


@pytest.mark.parametrize(("replayed_at_once", "looked_at"), [(7, 10_000), (1000, 10), (3, 10)])
async def test_a_request_replays_a_bounded_number_and_the_next_goes_on(
    admin: Admin,
    flows: Flows,
    cache: Redis,
    monkeypatch: pytest.MonkeyPatch,
    replayed_at_once: int,
    looked_at: int,
) -> None:
    """Whatever is in between: other rules' dead letters, jobs that fail again meanwhile, and those that can't be."""
    monkeypatch.setattr(rule_replay, "MAX_REPLAYED", replayed_at_once)
    monkeypatch.setattr(rule_replay, "MAX_LOOKED_AT", looked_at)
    monkeypatch.setattr(dead_letter_batches, "LOOK", 5)
    mine = active(queue={"max_depth": 10_000})
    await publish_all(Publisher(cache), [mine.rule], 1)
    found = await many_dead(flows, rules=["r", "other"], each=40)
    selection, order, requests = {"rule_id": "r"}, list[str](), 0
    problems: dict[str, str] = {}
    while True:
        answer = (await admin("POST", "/v1/dead-letters/replay", selection)).json()
        requests += 1
        assert answer["replayed"] <= replayed_at_once
        problems |= answer["problems"]
        for flow in await take(flows):
            jobs = (await lease(flows, flow, 100)).jobs
            order += ids(jobs)
            await flows.settle([Settlement(job, JobStatus.FAILED, "attempts_exhausted", "Again.") for job in jobs])
        if answer["next"] is None:
            break
        selection = {"rule_id": "r", "after": answer["next"]}
    assert order == found["r"], "each of them once, the oldest first, although they failed again"
    assert problems == {}
    assert requests > 1
    left = (await admin("GET", "/v1/dead-letters?limit=1000")).json()["dead_letters"]
    assert len(left) == 80, "the other rule's stay, and those that failed again"


async def test_what_cannot_be_replayed_is_reported_once_and_passed_over(
    admin: Admin, flows: Flows, cache: Redis, queue: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rule_replay, "MAX_REPLAYED", 2)
    await publish_all(Publisher(cache), [active(queue={"max_depth": 10_000}).rule], 1)
    found = (await many_dead(flows, rules=["r"], each=9))["r"]
    for job_id in found[::2]:
        record = f"{{q0}}:job:{job_id}"
        whole = cast("bytes", await queue.get(record))
        await queue.set(record, whole.removesuffix(stored_request(whole) or b""))
    replayed, reported, following = 0, [], None
    while True:
        answer = (await admin("POST", "/v1/dead-letters/replay", {"rule_id": "r", "after": following})).json()
        replayed += answer["replayed"]
        reported += list(answer["problems"])
        following = answer["next"]
        if following is None:
            break
    assert (replayed, reported) == (4, found[::2])


@pytest.mark.parametrize("after", ["", "x", "1-2-3", "-1-0-0-0", "1-0-0-0\n", "1-0-0-0-0", 5, "9" * 40])
async def test_what_is_no_cursor_is_refused(admin: Admin, after: object) -> None:
    assert (await admin("POST", "/v1/dead-letters/replay", {"rule_id": "r", "after": after})).status_code == 422
    assert (await admin("POST", "/v1/dead-letters/replay", {"ids": [], "after": "1-0-0-0"})).status_code == 422
    assert (await admin("POST", f"/v1/rules/r/drain/purge?after={quote(str(after))}x")).status_code == 422


async def test_a_cursor_that_redis_cannot_have_is_refused(admin: Admin) -> None:
    for last, status in ((2**64 - 1, 200), (2**64, 400)):
        assert (await admin("POST", f"/v1/rules/r/drain/purge?after=0-0-{last}")).status_code == status


@pytest.mark.usefixtures("rule_in_force")
async def test_a_replay_of_a_rule_that_is_not_in_force_is_refused(admin: Admin) -> None:
    answer = await admin("POST", "/v1/dead-letters/replay", {"rule_id": "gone"})
    assert (answer.status_code, answer.json()["detail"][:31]) == (409, "The rule gone is deleted or dis")


async def test_a_purge_takes_a_bounded_number_of_pages_and_the_next_goes_on(
    admin: Admin, flows: Flows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations_module, "MAX_PURGE_CALLS", 2)
    monkeypatch.setattr(operations_module, "PURGE_PAGE_SIZE", 10)
    for number in range(200):
        await accepted(flows, deferral(number, user=f"u{number % 20}"))
    canceled, requests, path = 0, 0, "/v1/rules/r/drain/purge"
    following: str | None = ""
    while following is not None:
        answer = (await admin("POST", path + following)).json()
        assert answer["canceled"] <= 20
        canceled, requests = canceled + answer["canceled"], requests + 1
        following = None if answer["next"] is None else f"?after={answer['next']}"
    assert canceled == 200
    assert requests >= 10


async def test_a_list_of_one_rule_among_many_looks_at_a_bounded_number(
    admin: Admin, flows: Flows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters_module, "MAX_LIST_CALLS", 2)
    monkeypatch.setattr(dead_letters_module, "LIST_SCAN_LIMIT", 5)
    found = await many_dead(flows, rules=["r", "other"], each=30)
    listed, pages = list[str](), 0
    after: str | None = ""
    while after is not None:
        page = (await admin("GET", f"/v1/dead-letters?rule_id=r&limit=1000&after={after}")).json()
        assert len(page["dead_letters"]) <= 10
        listed += [letter["id"] for letter in page["dead_letters"]]
        after, pages = page["next"], pages + 1
    assert listed == found["r"][::-1]
    assert pages > 5
