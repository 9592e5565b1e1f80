"""The attempts of a job are kept with it, whatever became of them."""

from redis.asyncio import Redis

from app.jobs.model import JobStatus, StoredResponse
from app.queue.flows import Flows
from app.queue.job_details import JobDetails, read_details
from app.queue.model import Settlement
from app.redis_wire.scripts import Scripts
from tests.support.flow_steps import accepted, active, deferral, leased


async def details_of(queueing: Scripts, job_id: str) -> JobDetails:
    found = await read_details(queueing, job_id)
    assert found is not None
    return found


async def test_each_attempt_is_kept_with_worker_start_end_and_status(flows: Flows, queueing: Scripts) -> None:
    job_id = await accepted(flows, deferral(rule=active(queue={"max_attempts": 3})))
    assert (await details_of(queueing, job_id)).attempts == []
    await flows.retry(
        await leased(flows), 0.001, "upstream_error", "The app server answered 500.", give_back=False,
        took_ms=7, answer=500,
    )  # fmt: skip
    await flows.hold(await leased(flows), 0.001, 0.001, 0.0, "upstream_unavailable", "503", took_ms=3, answer=503)
    await flows.retry(await leased(flows), 0.001, "upstream_timeout", "It took too long.", give_back=False, took_ms=9)
    job = await leased(flows)
    running = await details_of(queueing, job_id)
    assert [(one.number, one.worker, one.code, one.response_status) for one in running.attempts] == [
        (1, "c", "upstream_error", 500),
        (2, "c", "upstream_unavailable", 503),
        (3, "c", "upstream_timeout", None),
        (4, "c", None, None),
    ]
    assert [(one.ended_at_ms or 0) - one.started_at_ms for one in running.attempts[:3]] == [7, 3, 9]
    assert (running.attempts[3].ended_at_ms, running.job.attempts) == (None, 3), "the answer 503 used no attempt"
    answer = StoredResponse(404, [], b"answer | 7 \n")
    assert await flows.settle([Settlement(job, JobStatus.SUCCEEDED, response=answer, took_ms=11)]) == [True]
    ended = await details_of(queueing, job_id)
    assert ended.attempts[:3] == running.attempts[:3]
    last = ended.attempts[3]
    assert (last.number, last.worker, last.code, last.response_status) == (4, "c", None, 404)
    assert last.ended_at_ms == ended.job.finished_at_ms
    assert ended.job.finished_at_ms is not None
    assert last.started_at_ms == ended.job.finished_at_ms - 11
    assert ended.flow is None


async def test_a_timeline_is_bounded_and_says_how_many_attempts_there_were(flows: Flows, queueing: Scripts) -> None:
    job_id = await accepted(flows, deferral())
    for _ in range(14):
        await flows.hold(await leased(flows), 0.001, 0.001, 0.0, "upstream_unavailable", "503", took_ms=1, answer=503)
    numbers = [attempt.number for attempt in (await details_of(queueing, job_id)).attempts]
    assert numbers == list(range(5, 15))


async def test_a_worker_that_went_away_and_a_missed_slot(flows: Flows, queueing: Scripts) -> None:
    job_id = await accepted(flows, deferral(rule=active(queue={"max_attempts": 2})))
    await leased(flows)
    assert await flows.reclaim(0, "another", 0.0) == (1, 0)
    [gone] = (await details_of(queueing, job_id)).attempts
    assert (gone.worker, gone.code, gone.response_status) == ("c", "worker_gone", None)
    await flows.release([await leased(flows)])
    assert (await details_of(queueing, job_id)).attempts == [gone], "nothing was sent, so there was no attempt"
    await leased(flows)
    assert await flows.reclaim(0, "another", 0.0) == (0, 1)
    dead = await details_of(queueing, job_id)
    assert [(one.number, one.code) for one in dead.attempts] == [(1, "worker_gone"), (2, "worker_gone")]
    assert dead.job.error_code == "attempts_exhausted"


async def test_attempts_that_used_none_outlive_a_missed_slot(flows: Flows, queue: Redis, queueing: Scripts) -> None:
    job_id = await accepted(flows, deferral())
    await flows.hold(await leased(flows), 0.001, 0.001, 0.0, "upstream_unavailable", "503", took_ms=1, answer=503)
    await flows.release([await leased(flows)])
    found = await details_of(queueing, job_id)
    assert (found.job.status, found.job.attempts, [one.number for one in found.attempts]) == (JobStatus.QUEUED, 0, [1])
    job = await leased(flows)
    assert (job.id, job.attempt) == (job_id, 1)
    await flows.release([job])
    other = await accepted(flows, deferral(1, user="v"))
    assert await queue.hget("{q0}:state", other) is None
