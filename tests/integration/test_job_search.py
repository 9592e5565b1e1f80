"""Operators find jobs, whatever their status, by the lists that the queue has anyway."""

from collections.abc import Sequence
from typing import Any, cast

import pytest
from redis.asyncio import Redis

from app.errors import InvalidInput
from app.jobs.model import Job, JobStatus, StoredResponse
from app.queue.dead_letters import DeadLetters
from app.queue.flows import Flows
from app.queue.job_filter import JobFilter
from app.queue.job_search import JobSearch
from app.queue.kafka.model import IntakeMessage, MessageLocation
from app.queue.kafka.staging import Staging
from app.queue.model import FrozenCharge, LeasedJob, Settlement
from app.queue.records import CancelResult, Records
from app.redis_wire.scripts import Scripts
from app.settings import Settings
from tests.support.flow_steps import accepted, active, deferral, lease, take

STATUSES = {status.value: frozenset({status}) for status in JobStatus}


@pytest.fixture
def search(queue: Redis, queueing: Scripts, records: Records, settings: Settings) -> JobSearch:
    return JobSearch(queue, queueing, records, settings)


async def found(search: JobSearch, limit: int = 100, **criteria: Any) -> list[Job]:  # noqa: ANN401
    """All pages."""
    wanted, cursor, jobs = JobFilter(**criteria), None, list[Job]()
    while True:
        page = await search.page(wanted, limit, cursor)
        assert len(page.jobs) <= limit
        jobs += page.jobs
        if page.next is None:
            return jobs
        cursor = page.next


def ids(jobs: Sequence[Job]) -> list[str]:
    return [job.id for job in jobs]


async def leased(flows: Flows, user: str, n: int = 1) -> list[LeasedJob]:
    [flow] = [flow for flow in await take(flows) if flow.name.endswith(f"|user:{user}")]
    return list((await lease(flows, flow, n)).jobs)


@pytest.fixture
async def everywhere(flows: Flows, records: Records) -> dict[str, str]:
    """A job of each status, all of one caller, and one of another caller and rule."""
    jobs = [await accepted(flows, deferral(number, owner="own")) for number in range(6)]
    some = await leased(flows, "u", 5)
    assert [job.id for job in some] == jobs[:5]
    retrying, succeeded, failed, refused = some[1:5]
    await flows.retry(retrying, 3600, "upstream_error", "It failed.", give_back=False, took_ms=1, answer=500)
    await flows.settle(
        [
            Settlement(succeeded, JobStatus.SUCCEEDED, response=StoredResponse(200, [], b"x"), took_ms=1),
            Settlement(failed, JobStatus.FAILED, "attempts_exhausted", "It failed.", StoredResponse(500, [], b""), 1),
            Settlement(refused, JobStatus.SUCCEEDED, response=StoredResponse(404, [], b"x"), took_ms=1),
        ]
    )
    canceled = await accepted(flows, deferral(6, owner="own"))
    assert await records.cancel(canceled)
    other = await accepted(flows, deferral(7, rule=active(rule_id="other"), user="v", owner="another"))
    named = ("running", "retrying", "succeeded", "failed", "404", "queued")
    return dict(zip(named, jobs, strict=True)) | {"canceled": canceled, "other": other}


@pytest.mark.parametrize(
    "criteria", [{"owner": "own"}, {"rule_id": "r"}, {"descriptor": "user:u"}, {"flow": "r|user:u"}, {}], ids=str
)
@pytest.mark.parametrize("limit", [1, 2, 100])
async def test_jobs_are_found_in_every_status(
    search: JobSearch, everywhere: dict[str, str], criteria: dict[str, Any], limit: int
) -> None:
    of_other = [] if criteria else [everywhere["other"]]
    mine = [job_id for name, job_id in everywhere.items() if name != "other"]
    assert sorted(ids(await found(search, limit, **criteria))) == sorted(mine + of_other)
    for status, statuses in STATUSES.items():
        expected = [everywhere[status]] + ([everywhere["404"]] if status == "succeeded" else [])
        expected += of_other if status == "queued" else []
        assert sorted(ids(await found(search, limit, statuses=statuses, **criteria))) == sorted(expected), status
    assert ids(await found(search, limit, response_status=404, **criteria)) == [everywhere["404"]]
    open_jobs = await found(search, limit, statuses=STATUSES["retrying"] | STATUSES["running"], **criteria)
    assert sorted(ids(open_jobs)) == sorted([everywhere["retrying"], everywhere["running"]])


async def test_criteria_are_all_met(search: JobSearch, everywhere: dict[str, str]) -> None:
    assert ids(await found(search, rule_id="other", descriptor="user:v", owner="another")) == [everywhere["other"]]
    nobodys: list[dict[str, Any]] = [
        {"rule_id": "r", "descriptor": "user:v"},
        {"rule_id": "other", "flow": "r|user:u"},
        {"owner": "own", "descriptor": "user:v"},
        {"owner": "nobody"},
        {"descriptor": "user:"},
        {"descriptor": "user:*"},
        {"rule_id": "o"},
        {"flow": "r|user"},
    ]
    for nobody in nobodys:
        assert await found(search, **nobody) == [], nobody


async def test_a_waiting_job_says_why_it_waits(search: JobSearch, everywhere: dict[str, str]) -> None:
    [job] = await found(search, flow="r|user:u", statuses=STATUSES["queued"])
    assert (job.id, job.position, job.waiting_for) == (everywhere["queued"], 1, "r")
    assert job.eta_s is not None


async def test_times_bound_the_search(search: JobSearch, flows: Flows, queue: Redis) -> None:
    old = await accepted(flows, deferral(0))
    [job] = await leased(flows, "u")
    await flows.settle([Settlement(job, JobStatus.SUCCEEDED, response=StoredResponse(200, [], b""))])
    [first] = await found(search)
    assert first.finished_at_ms is not None
    until = first.finished_at_ms
    while int((seconds := await queue.time())[0]) * 1000 + int(seconds[1]) // 1000 <= until + 1:
        pass
    new = await accepted(flows, deferral(1, user="new"))
    [second] = await leased(flows, "new")
    await flows.settle([Settlement(second, JobStatus.SUCCEEDED, response=StoredResponse(200, [], b""))])
    assert ids(await found(search)) == [new, old]
    assert ids(await found(search, finished_to_ms=until)) == [old]
    assert ids(await found(search, finished_from_ms=until + 1)) == [new]
    assert ids(await found(search, submitted_from_ms=until + 1)) == [new]
    assert ids(await found(search, submitted_to_ms=until)) == [old]
    assert await found(search, submitted_from_ms=until + 3_600_000) == []


async def test_pages_of_many_flows_have_each_job_once(search: JobSearch, flows: Flows, records: Records) -> None:
    """Flows with few jobs and with many, of several callers; while they are paged, jobs end and others come."""
    expected = []
    for number in range(40):
        for _ in range(1 if number % 8 else 60):
            expected.append(await accepted(flows, deferral(number, user=f"u{number}", owner=f"own{number}")))
    some: list[dict[str, Any]] = [{"rule_id": "r"}, {}]
    for criteria in some:
        assert sorted(ids(await found(search, 7, **criteria))) == sorted(expected)
        assert sorted(ids(await found(search, 100, **criteria))) == sorted(expected)
    assert len(ids(await found(search, 10, flow="r|user:u8"))) == 60
    assert len(await found(search, 100, descriptor="user:u1")) == 1, "and not those of user:u10"
    first = await search.page(JobFilter(rule_id="r"), 50)
    canceled = ids(first.jobs[:10])
    assert set((await records.cancel_all(canceled)).values()) == {CancelResult.CANCELED}
    await accepted(flows, deferral(99, user="zzz"))
    rest, cursor = list[Job](), first.next
    while cursor is not None:
        page = await search.page(JobFilter(rule_id="r", statuses=STATUSES["queued"]), 50, cursor)
        rest, cursor = rest + page.jobs, page.next
    assert len(ids(rest)) == len(set(ids(rest)))
    assert set(expected) - set(ids(first.jobs)) <= set(ids(rest))


async def test_whoever_is_charged_or_calls_is_found(search: JobSearch, flows: Flows) -> None:
    charges = (FrozenCharge("r", "ip:192.0.2.1", 1), FrozenCharge("s", "claim:tenant:acme", 1))
    job_id = await accepted(flows, deferral(0, charges=charges, caller="user:alice"))
    for descriptor in ("ip:192.0.2.1", "claim:tenant:acme", "user:alice"):
        assert ids(await found(search, descriptor=descriptor)) == [job_id]
        assert ids(await found(search, rule_id="r", descriptor=descriptor)) == [job_id]
    assert await found(search, rule_id="s") == [], "the rule that deferred it is the job's"
    await leased_of(flows)
    assert ids(await found(search, descriptor="user:alice")) == [job_id]


async def leased_of(flows: Flows) -> None:
    [flow] = await take(flows)
    assert len((await lease(flows, flow, 1)).jobs) == 1


async def test_jobs_on_kafka_are_found(
    search: JobSearch, queue: Redis, queueing: Scripts, settings: Settings, flows: Flows
) -> None:
    staging = Staging(queue, queueing, settings.model_copy(update={"kafka_window": 2}))
    jobs = []
    for number in range(6):
        await staging.record(deferral(number))
        [last] = cast("list[bytes]", await queue.zrange("{q0}:flow:r|user:u:awaiting", -1, -1))
        jobs.append(last.decode())
    messages = [IntakeMessage(job_id, MessageLocation(0, at), b"[]") for at, job_id in enumerate(jobs)]
    await staging.admit(messages[:4])
    some: list[dict[str, Any]] = [{}, {"rule_id": "r"}, {"flow": "r|user:u"}, {"owner": "own"}]
    for criteria in some:
        assert sorted(ids(await found(search, 2, **criteria))) == sorted(jobs), criteria
    assert ids(await found(search, flow="r|user:u")) == jobs, "in the order of the flow"


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "????", "MCA", "OTk5OTk5OQ", "MCAoMQ", "MCBhYmM", "MCAxMC0", "MCAKCg", "MCAwIDkgMCB4", "A" * 5000, "é"],
)
async def test_what_is_no_cursor_is_told(search: JobSearch, everywhere: dict[str, str], cursor: str) -> None:
    assert everywhere
    of_outcomes = JobFilter(statuses=STATUSES["failed"])
    for criteria in (JobFilter(), JobFilter(owner="own"), JobFilter(rule_id="r"), of_outcomes):
        try:
            page = await search.page(criteria, 10, cursor)
        except InvalidInput:
            continue
        assert page.jobs == [] or cursor == "MCA", "the first place of a source"


@pytest.mark.parametrize("limit", [1, 100])
@pytest.mark.parametrize("criteria", [{}, {"rule_id": "r"}, {"flow": "r|user:u"}], ids=str)
async def test_a_job_that_was_replayed_is_found_as_it_is_and_not_as_it_ended_before(
    search: JobSearch, flows: Flows, queue: Redis, queueing: Scripts, settings: Settings, limit: int,
    criteria: dict[str, Any],
) -> None:  # fmt: skip
    dead_letters = DeadLetters(queue, queueing, settings)
    job_id = await accepted(flows, deferral(0))

    async def ends(status: JobStatus, answer: int) -> None:
        [job] = await leased(flows, "u")
        code, message = ("attempts_exhausted", "It failed.") if status is JobStatus.FAILED else ("", "")
        await flows.settle([Settlement(job, status, code, message, StoredResponse(answer, [], b""), 1)])

    await ends(JobStatus.FAILED, 500)
    await dead_letters.replay(job_id, active())
    [waiting] = await found(search, limit, **criteria)
    assert (waiting.id, waiting.status) == (job_id, JobStatus.QUEUED)
    await ends(JobStatus.FAILED, 503)
    assert [(job.id, job.response_status) for job in await found(search, limit, **criteria)] == [(job_id, 503)]
    await dead_letters.replay(job_id, active())
    await ends(JobStatus.SUCCEEDED, 200)
    assert [job.status for job in await found(search, limit, **criteria)] == [JobStatus.SUCCEEDED]


async def test_many_are_canceled_in_one_call(flows: Flows, records: Records, everywhere: dict[str, str]) -> None:
    gone = "0-" + "x" * 22
    wanted = [everywhere[name] for name in ("running", "retrying", "succeeded", "queued", "canceled")]
    results = await records.cancel_all([*wanted, gone, "no id", wanted[3]])
    assert results == {
        everywhere["running"]: CancelResult.NOT_WAITING,
        everywhere["retrying"]: CancelResult.CANCELED,
        everywhere["succeeded"]: CancelResult.NOT_WAITING,
        everywhere["queued"]: CancelResult.CANCELED,
        everywhere["canceled"]: CancelResult.CANCELED_BEFORE,
        gone: CancelResult.UNKNOWN,
        "no id": CancelResult.UNKNOWN,
    }
    assert set((await records.cancel_all([everywhere["queued"]])).values()) == {CancelResult.CANCELED_BEFORE}
