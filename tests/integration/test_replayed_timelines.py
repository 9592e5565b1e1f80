"""A dead letter that is replayed keeps the attempts that it had, and its timeline says where the replay was."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from redis.asyncio import Redis

from app.admin.services.jobs_model import JobDocument
from app.jobs.model import JobStatus, StoredResponse, encode_request
from app.queue.batches import Batch
from app.queue.dead_letter_batches import DeadLetterBatches
from app.queue.dead_letter_filter import DeadLetterFilter, DeadLetterPlace
from app.queue.dead_letters import DeadLetters
from app.queue.flows import Flows
from app.queue.job_details import JobDetails, read_details
from app.queue.kafka.model import IntakeMessage, MessageLocation
from app.queue.kafka.staging import Staging
from app.queue.model import Enqueued, Settlement
from app.redis_wire.scripts import Scripts
from app.settings import Settings
from tests.support.flow_steps import accepted, active, deferral, leased
from tests.support.waiting import eventually

ONE_WAY, ANOTHER_WAY = "one by one", "by a filter"
FAILED = ("failed", "attempts_exhausted")


async def fails(flows: Flows, attempts: int = 2) -> None:
    """The first job fails with so many attempts; the last is answered 502."""
    for _ in range(attempts - 1):
        job = await leased(flows)
        await flows.retry(job, 0.001, "upstream_error", "500", give_back=False, took_ms=0, answer=500)
    answer = StoredResponse(502, [], b"no")
    last = Settlement(
        await leased(flows), JobStatus.FAILED, "attempts_exhausted", "It failed.", response=answer, took_ms=0
    )
    assert await flows.settle([last]) == [True]


async def details_of(queueing: Scripts, job_id: str) -> JobDetails:
    found = await read_details(queueing, job_id)
    assert found is not None
    return found


async def timeline(queueing: Scripts, job_id: str) -> list[tuple[str, Any]]:
    """What happened, each with the number of an attempt, or the code of a failure."""
    document = JobDocument.of_details(await details_of(queueing, job_id), None)
    assert [event.at for event in document.timeline] == sorted(event.at or "" for event in document.timeline)
    return [(event.event.value, event.number or event.error_code) for event in document.timeline]


@pytest.fixture(params=[ONE_WAY, ANOTHER_WAY])
def replay(
    request: pytest.FixtureRequest, queue: Redis, queueing: Scripts, settings: Settings
) -> Callable[[str], Coroutine[Any, Any, None]]:
    """Replays a dead letter as an operator does, by its id or by a filter that finds it."""
    letters, batches = DeadLetters(queue, queueing, settings), DeadLetterBatches(queueing, settings)

    async def one_by_one(job_id: str) -> None:
        await letters.replay(job_id, active())

    async def by_a_filter(job_id: str) -> None:
        [dead] = (await letters.page(DeadLetterFilter(), 10)).dead_letters
        assert dead.job_id == job_id
        start, latest_us = DeadLetterPlace(0, 0, ""), 10**16
        found = await batches.replay(DeadLetterFilter(), latest_us, start, Batch("", 1, 10), {"r": active()})
        assert found is not None
        assert found.done == 1

    return one_by_one if request.param == ONE_WAY else by_a_filter


Replay = Callable[[str], Coroutine[Any, Any, None]]


async def test_attempts_before_a_replay_are_kept_whatever_becomes_of_the_job(
    flows: Flows, queueing: Scripts, replay: Replay
) -> None:
    job_id = await accepted(flows, deferral())
    await fails(flows)
    before = await details_of(queueing, job_id)
    await replay(job_id)
    waiting = await details_of(queueing, job_id)
    assert (waiting.job.status, waiting.job.attempts, waiting.job.position) == (JobStatus.QUEUED, 0, 1)
    assert waiting.attempts == before.attempts
    [mark] = waiting.replays
    assert (mark.after_attempt, mark.failed_at_ms, mark.code) == (2, before.job.finished_at_ms, "attempts_exhausted")
    earlier = [("accepted", None), ("attempt", 1), ("attempt", 2), FAILED, ("replayed", None)]
    assert await timeline(queueing, job_id) == earlier
    job = await leased(flows)
    assert (job.id, job.attempt, job.request.body) == (job_id, 1, b"body 0"), "it has all attempts of its rule"
    assert await timeline(queueing, job_id) == [*earlier, ("attempt", 3)]
    await flows.release([job])
    assert await timeline(queueing, job_id) == earlier, "nothing was sent"
    await fails(flows)
    await replay(job_id)
    again = [*earlier, ("attempt", 3), ("attempt", 4), FAILED, ("replayed", None)]
    assert await timeline(queueing, job_id) == again
    done = Settlement(await leased(flows), JobStatus.SUCCEEDED, response=StoredResponse(200, [], b"yes"), took_ms=0)
    assert await flows.settle([done]) == [True]
    assert await timeline(queueing, job_id) == [*again, ("attempt", 5), ("succeeded", None)]
    ended = await details_of(queueing, job_id)
    assert [one.response_status for one in ended.attempts] == [500, 502, 500, 502, 200]
    assert ended.job.attempts == 1


async def test_a_job_that_was_never_sent_says_that_it_was_replayed(
    flows: Flows, queueing: Scripts, replay: Replay
) -> None:
    job_id = await accepted(flows, deferral(rule=active(queue={"max_wait_seconds": 0.05})))

    async def is_expired() -> bool:
        return await flows.expire(0) == 1

    await eventually(is_expired, 5.0, "it has waited for too long")
    await replay(job_id)
    assert await timeline(queueing, job_id) == [("accepted", None), ("failed", "expired"), ("replayed", None)]
    assert JobDocument.of_details(await details_of(queueing, job_id), None).earlier_attempts == 0
    await fails(flows, 1)
    await replay(job_id)
    assert await timeline(queueing, job_id) == [
        ("accepted", None), ("failed", "expired"), ("replayed", None), ("attempt", 1), FAILED, ("replayed", None)
    ]  # fmt: skip


async def test_as_many_attempts_are_kept_as_of_any_job_and_the_record_stays_small(
    flows: Flows, queue: Redis, queueing: Scripts, replay: Replay
) -> None:
    job_id = await accepted(flows, deferral())
    for _ in range(9):
        await fails(flows)
        await replay(job_id)
    document = JobDocument.of_details(found := await details_of(queueing, job_id), None)
    assert [attempt.number for attempt in found.attempts] == list(range(9, 19))
    assert (document.earlier_attempts, len(found.replays)) == (8, 5)
    state: Any = await queue.hget("{q0}:state", job_id)
    assert len(state) < 2000


async def test_a_replayed_job_of_which_another_flow_has_none_costs_that_nothing(
    flows: Flows, queue: Redis, replay: Replay
) -> None:
    job_id = await accepted(flows, deferral())
    await fails(flows)
    other = await accepted(flows, deferral(1, user="v"))
    await replay(job_id)
    assert await queue.hget("{q0}:state", other) is None
    assert await queue.hget("{q0}:flow:r|user:v", "returned") is None, "its jobs are leased as ever"


async def test_a_request_that_is_fetched_from_kafka_after_the_replay_brings_the_attempts_along(
    flows: Flows, queue: Redis, queueing: Scripts, settings: Settings, replay: Replay
) -> None:
    staging = Staging(queue, queueing, settings.model_copy(update={"kafka_window": 1}))
    messages = []
    for number in range(2):
        it = deferral(number, rule=active(queue={"max_wait_seconds": 0.3}))
        answer = (await staging.record(it)).answer
        assert isinstance(answer, Enqueued)
        message = IntakeMessage(answer.job.id, MessageLocation(0, number), encode_request(it.request))
        messages.append(message)
    await staging.admit(messages)
    here, spilled = messages
    ended = 0
    while ended < 2:
        ended += await flows.expire(0)
    await DeadLetters(queue, queueing, settings).discard(here.job_id)
    await replay(spilled.job_id)
    events = [("accepted", None), ("failed", "expired"), ("replayed", None)]
    assert await timeline(queueing, spilled.job_id) == events
    await asyncio.sleep(0.15)  # by then a flow that had no room is checked again
    [job] = (await staging.next_to_fetch(0, 0.0)).jobs
    assert (await staging.refill(job.flow, [(job.job_id, spilled.stored)])).resident == 1
    assert await timeline(queueing, spilled.job_id) == events
    sent = await leased(flows)
    assert (sent.id, sent.request.body) == (spilled.job_id, b"body 1")
    done = Settlement(sent, JobStatus.SUCCEEDED, response=StoredResponse(200, [], b"yes"), took_ms=0)
    assert await flows.settle([done]) == [True]
    assert await timeline(queueing, spilled.job_id) == [*events, ("attempt", 1), ("succeeded", None)]
    assert await queue.xlen("{q0}:jobs") == 0, "nothing of it is left in the stream"
