"""The last outcomes of all rules: written once a batch, found whatever the rule keeps, and bounded."""

import asyncio
from typing import cast

from redis.asyncio import Redis

from app.jobs.model import Job, JobStatus, StoredResponse
from app.queue import outcomes
from app.queue.flows import Flows
from app.queue.model import LeasedJob, Settlement
from app.queue.outcomes import NEWEST, recent_outcomes
from app.queue.records import Records
from app.redis_wire.scripts import Scripts, source
from tests.support.flow_steps import accepted, active, deferral, lease, take

OUTCOMES, KEPT = "{q0}:outcomes", "{q0}:outcomes:kept"
FINAL = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELED})


async def leased(flows: Flows, n: int) -> list[LeasedJob]:
    return [job for flow in await take(flows) for job in (await lease(flows, flow, n)).jobs]


def succeeded(job: LeasedJob, status: int = 200) -> Settlement:
    return Settlement(job, JobStatus.SUCCEEDED, response=StoredResponse(status, [], b"x"), took_ms=1)


async def kept(queue: Redis) -> list[str]:
    """How many jobs and bytes are noted."""
    return cast("bytes", await queue.get(KEPT)).decode().split()


async def found(
    scripts: Scripts, statuses: frozenset[JobStatus] = FINAL, text: str = "", *, only_gone: bool = False
) -> list[Job]:
    jobs, place = list[Job](), NEWEST
    while True:
        page = await recent_outcomes(scripts, 0, place, 100, statuses, text, only_gone=only_gone)
        jobs += page.jobs
        if page.next is None:
            return jobs
        place = page.next


async def test_a_batch_of_outcomes_is_one_entry(flows: Flows, queue: Redis, queueing: Scripts) -> None:
    jobs = [await accepted(flows, deferral(number, owner="own")) for number in range(5)]
    await flows.settle([succeeded(job, 404) for job in await leased(flows, 5)])
    assert await queue.xlen(OUTCOMES) == 1
    listed = await found(queueing)
    assert [job.id for job in listed] == jobs
    assert {(job.rule_id, job.flow, job.owner, job.status, job.response_status) for job in listed} == {
        ("r", "r|user:u", "own", JobStatus.SUCCEEDED, 404)
    }


async def test_every_end_is_an_outcome(flows: Flows, records: Records, queueing: Scripts) -> None:
    canceled = await accepted(flows, deferral(0))
    assert await records.cancel(canceled)
    short = active(queue={"max_wait_seconds": 0.01})
    expired = await accepted(flows, deferral(1, rule=short, user="e"))
    await asyncio.sleep(0.02)
    assert await flows.expire(0) == 1
    gone = await accepted(flows, deferral(2, rule=active(queue={"max_attempts": 1}), user="g"))
    await leased(flows, 1)
    assert await flows.reclaim(0, "another", 0.0) == (0, 1)
    failed = await accepted(flows, deferral(3, user="f"))
    [job] = await leased(flows, 1)
    await flows.settle([Settlement(job, JobStatus.FAILED, "rule_deleted", "a | b\nc")])
    assert [(job.id, job.status, job.error_code, job.error_message) for job in await found(queueing)] == [
        (failed, JobStatus.FAILED, "rule_deleted", "a   b c"),
        (gone, JobStatus.FAILED, "attempts_exhausted", "The worker that sent the job went away at the last attempt."),
        (expired, JobStatus.FAILED, "expired", "The job waited longer than its rule allows."),
        (canceled, JobStatus.CANCELED, None, None),
    ]
    assert [job.id for job in await found(queueing, frozenset({JobStatus.CANCELED}))] == [canceled]
    assert [job.id for job in await found(queueing, text=" r|user:g ")] == [gone]


async def test_an_outcome_is_found_when_its_record_is_gone(flows: Flows, queue: Redis, queueing: Scripts) -> None:
    jobs = [await accepted(flows, deferral(number)) for number in range(3)]
    await flows.settle([succeeded(job) for job in await leased(flows, 3)])
    await queue.delete(f"{{q0}}:job:{jobs[1]}")
    assert [job.id for job in await found(queueing)] == jobs
    assert [job.id for job in await found(queueing, only_gone=True)] == [jobs[1]]


async def test_pages_go_on_where_they_ended_whatever_comes_and_goes(
    flows: Flows, queue: Redis, queueing: Scripts
) -> None:
    batches = []
    for _ in range(4):
        batches.append([await accepted(flows, deferral(number)) for number in range(60)])
        await flows.settle([succeeded(job) for job in await leased(flows, 60)])
    first = await recent_outcomes(queueing, 0, NEWEST, 100, FINAL, "", only_gone=False)
    assert [job.id for job in first.jobs] == [*batches[3], *batches[2][:40]]
    await accepted(flows, deferral(99))
    await flows.settle([succeeded(job) for job in await leased(flows, 1)])
    assert first.next is not None
    second = await recent_outcomes(queueing, 0, first.next, 100, FINAL, "", only_gone=False)
    assert [job.id for job in second.jobs] == [*batches[2][40:], *batches[1], *batches[0][:20]]
    await queue.delete(OUTCOMES)
    assert second.next is not None
    assert await recent_outcomes(queueing, 0, second.next, 100, FINAL, "", only_gone=False) == ([], None)


async def test_the_oldest_go_when_there_are_too_many(flows: Flows, queue: Redis, queueing: Scripts) -> None:
    """As many as the bound are made up, one in each entry; then a batch of many comes."""
    assert "KEPT_OUTCOMES, KEPT_OUTCOMES_BYTES, KEPT_OUTCOMES_MS = 100000, 33554432, 3600000" in source(
        "app.queue", "settle"
    )
    for _ in range(200):
        await queue.xadd(OUTCOMES, {"n": 1, "jobs": "x"})
    await queue.set(KEPT, "100000 200")
    for number in range(100):
        await accepted(flows, deferral(number))
    await flows.settle([succeeded(job) for job in await leased(flows, 100)])
    assert await queue.xlen(OUTCOMES) == 101
    assert (await kept(queue))[0] == "100000"
    await queue.set(KEPT, "100000 33554432")
    await accepted(flows, deferral(100))
    await flows.settle([succeeded(job) for job in await leased(flows, 1)])
    assert await queue.xlen(OUTCOMES) == 100, "two looks are made for one job that is added"


async def test_outcomes_of_more_than_an_hour_ago_go(flows: Flows, queue: Redis, queueing: Scripts) -> None:
    now_ms = int((await queue.time())[0]) * 1000
    for number, minutes in enumerate((120, 61, 59)):
        line = f"0-{number:022}\ns r|user:u - 1 1 1 1 200 1 5 - - w - -|3 - "
        await queue.xadd(OUTCOMES, {"n": 1, "jobs": line}, id=f"{now_ms - minutes * 60_000}-{number}")
    await queue.set(KEPT, "3 180")
    assert [job.id for job in await found(queueing)] == [f"0-{2:022}"], "before anything is removed"
    job_id = await accepted(flows, deferral(0))
    await flows.settle([succeeded(job) for job in await leased(flows, 1)])
    assert [job.id for job in await found(queueing)] == [job_id, f"0-{2:022}"]
    assert await queue.xlen(OUTCOMES) == 2
    assert (await kept(queue))[0] == "2"
    lasts_ms = [await queue.pttl(key) for key in (OUTCOMES, KEPT)]
    assert all(3_500_000 < each <= 3_600_000 for each in lasts_ms), "nothing is left once nothing has ended for an hour"


async def test_what_was_never_promised_is_no_outcome(queue: Redis, queueing: Scripts, flows: Flows) -> None:
    job_id = await accepted(flows, deferral(0))
    assert await queueing.call("kafka_abandon", ["{q0}:"], [job_id]) == 1
    assert await found(queueing) == []


def test_a_place_in_time() -> None:
    assert outcomes.time_of(outcomes.place_before(1234)) == 1234 + outcomes.CLOCK_SLACK_MS
    assert outcomes.PLACE.fullmatch(outcomes.place_before(1234))
    assert outcomes.PLACE.fullmatch(NEWEST)
