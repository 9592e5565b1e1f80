"""Jobs and dead letters as an earlier version stored them, without their attempts."""

import asyncio
import re
from typing import Any

from redis.asyncio import Redis

from app.jobs.model import JobStatus, StoredResponse
from app.queue.dead_letter_filter import DeadLetterFilter
from app.queue.dead_letters import DeadLetters
from app.queue.flows import Flows
from app.queue.job_details import read_details
from app.queue.model import LeasedJob, Settlement
from app.queue.records import Records
from app.redis_wire.scripts import Scripts
from app.settings import Settings
from tests.support.flow_steps import accepted, active, deferral, give_back, ids, lease, pending, take

STATE = re.compile(rb"^((?:\S+ ){6})\S+ \S+ \S+ ")
FINAL = re.compile(rb"^((?:\S+ ){9})\S+ (\S+ \S+) \S+ \S+ ")


async def as_earlier(queue: Redis, job_id: str) -> None:
    """Store a job in the former form."""
    state: Any = await queue.hget("{q0}:state", job_id)
    if state is not None:
        await queue.hset("{q0}:state", job_id, STATE.sub(rb"\1", state, count=1))
        return
    record: Any = await queue.get(f"{{q0}}:job:{job_id}")
    earlier = FINAL.sub(rb"\1\2 ", record, count=1)
    assert earlier != record
    await queue.set(f"{{q0}}:job:{job_id}", earlier, keepttl=True)


async def first_job(flows: Flows) -> LeasedJob:
    [flow] = await take(flows)
    [job] = (await lease(flows, flow, 1)).jobs
    await give_back(flows, flow)
    return job


async def test_jobs_in_every_state_go_on(flows: Flows, queue: Redis, queueing: Scripts) -> None:
    for number in range(4):
        await accepted(flows, deferral(number))
    [flow] = await take(flows)
    sent, lost, tried, missed = jobs = (await lease(flows, flow, 4)).jobs
    await flows.retry(tried, 0.001, "upstream_error", "The app server answered 500.", give_back=False)
    await flows.retry(missed, 0.001, "upstream_timeout", "It took 3 1,2", give_back=True)
    await give_back(flows, flow)
    for job in jobs:
        await as_earlier(queue, job.id)
    await flows.extend([sent, lost], "c")
    answer = StoredResponse(200, [], b"done")
    assert await flows.settle([Settlement(sent, JobStatus.SUCCEEDED, response=answer, took_ms=5)]) == [True]
    details = [await read_details(queueing, job.id) for job in jobs]
    assert [one.job.status.value for one in details if one] == ["succeeded", "running", "retrying", "retrying"]
    assert await flows.reclaim(0, "other", 0) == (1, 0)
    await asyncio.sleep(0.01)
    [flow] = await take(flows)
    again = (await lease(flows, flow, 4)).jobs
    assert (ids(again), [job.attempt for job in again]) == (ids([lost, tried, missed]), [2, 2, 1])
    details = [await read_details(queueing, job.id) for job in again]
    assert [[attempt.number for attempt in one.attempts] for one in details if one] == [[1, 2], [1], [1]]
    assert await flows.settle([Settlement(job, JobStatus.SUCCEEDED, response=answer) for job in again]) == [True] * 3
    assert await pending(queue) == 0


async def test_dead_letters_and_results_are_kept(
    flows: Flows, queue: Redis, queueing: Scripts, settings: Settings
) -> None:
    rule, answer = active(), StoredResponse(503, [], b"busy | 3 x\n")
    for number, status in enumerate((JobStatus.FAILED, JobStatus.SUCCEEDED)):
        await accepted(flows, deferral(number))
        code, message = ("attempts_exhausted", "It failed.") if status is JobStatus.FAILED else ("", "")
        await flows.settle([Settlement(await first_job(flows), status, code, message, answer)])
    owned = await Records(queue, queueing, settings).page("own", 10)
    for job in owned.jobs:
        await as_earlier(queue, job.id)
    records = Records(queue, queueing, settings)
    assert (await records.page("own", 10)).jobs[1].status is JobStatus.FAILED
    assert [await records.response(job.id) for job in owned.jobs] == [answer, answer]
    dead_letters = DeadLetters(queue, queueing, settings)
    [dead] = (await dead_letters.page(DeadLetterFilter(), 10)).dead_letters
    assert (dead.response_status, dead.message) == (503, "It failed.")
    details = await read_details(queueing, dead.job_id)
    assert details is not None
    assert details.attempts == []
    await dead_letters.replay(dead.job_id, rule)
    again = await first_job(flows)
    assert (again.id, again.attempt, again.request.body) == (dead.job_id, 1, b"body 0")


async def test_a_flow_that_a_worker_of_the_earlier_version_had_goes_on(flows: Flows, queue: Redis) -> None:
    """It noted in the flow's hash which worker had the flow, and what it had in hand."""
    waiting = [await accepted(flows, deferral(number)) for number in range(2)]
    fields = {"token": "t", "held": "1", "next": "1", "unsent": f"t {waiting[0]}", "returned": "1", "rescheduled": "1"}
    for name, value in fields.items():
        await queue.hset("{q0}:flow:r|user:u", name, value)
    [flow] = await take(flows)
    leased = (await lease(flows, flow, 2)).jobs
    assert ids(leased) == waiting
    await give_back(flows, flow)
    assert await flows.settle([Settlement(job, JobStatus.SUCCEEDED) for job in leased]) == [True, True]
    assert await queue.keys("{q0}:flow:*") == await queue.keys("{q0}:held:*") == []
