"""The Kafka queue's records and requests in the queue Redis, step by step and without a broker."""

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from app.errors import Conflict
from app.jobs.model import Job, JobStatus, encode_request
from app.queue import keys
from app.queue.dead_letters import DeadLetters
from app.queue.flows import Flows
from app.queue.kafka.model import AdmitResult, IntakeMessage, MessageLocation, RefillResult
from app.queue.kafka.staging import Staging
from app.queue.model import Deferral, Enqueued, Full
from app.queue.operations import Operations
from app.queue.records import Records
from app.redis_wire.scripts import Scripts
from app.settings import Settings
from tests.support.flow_steps import active, deferral, give_back, ids, lease, take

FAR_MS = 10**9


@pytest.fixture
def staging(queue: Redis, queueing: Scripts, settings: Settings) -> Staging:
    return Staging(queue, queueing, settings)


def staging_with(queue: Redis, queueing: Scripts, settings: Settings, **changed: Any) -> Staging:  # noqa: ANN401
    return Staging(queue, queueing, settings.model_copy(update=changed))


async def recorded(staging: Staging, it: Deferral) -> str:
    """The id of a job whose record an edge has written."""
    answer = (await staging.record(it)).answer
    assert isinstance(answer, Enqueued)
    return answer.job.id


async def messages_of(staging: Staging, count: int, first: int = 0, **more: Any) -> list[IntakeMessage]:  # noqa: ANN401
    """The messages of jobs whose records an edge has written, as the intake reads them."""
    messages = []
    for number in range(first, first + count):
        it = deferral(number, **more)
        messages.append(
            IntakeMessage(await recorded(staging, it), MessageLocation(0, number), encode_request(it.request))
        )
    return messages


async def job_of(records: Records, job_id: str) -> Job:
    job = await records.get(job_id)
    assert job is not None
    return job


async def positions(records: Records, messages: list[IntakeMessage]) -> list[int | None]:
    return [(await job_of(records, message.job_id)).position for message in messages]


async def refill_all(staging: Staging, messages: list[IntakeMessage]) -> int:
    """Refill every flow that has room, and return how many requests that took."""
    stored = {message.location: message.stored for message in messages}
    await asyncio.sleep(0.15)  # by then a flow that had no room is checked again
    jobs = (await staging.next_to_fetch(0, 0.0)).jobs
    for flow in {job.flow for job in jobs}:
        await staging.refill(flow, [(job.job_id, stored.get(job.location)) for job in jobs if job.flow == flow])
    return len(jobs)


async def drained(flows: Flows) -> list[str]:
    """The ids of all jobs that may be sent now, in order."""
    found: list[str] = []
    for flow in await take(flows):
        while flow.head.same_cost:
            leased = await lease(flows, flow, flow.head.same_cost)
            found += ids(leased.jobs)
            if leased.head.same_cost == 0:
                break
        await give_back(flows, flow)
    return found


async def test_a_recorded_job_has_a_position_and_is_not_sent_before_its_message_is_read(
    staging: Staging, flows: Flows, records: Records
) -> None:
    messages = await messages_of(staging, 3)
    assert await positions(records, messages) == [1, 2, 3]
    assert (await job_of(records, messages[2].job_id)).eta_s == pytest.approx(0.2)
    assert await take(flows) == []
    assert await staging.admit(messages) == AdmitResult(3, 3, 0, 0)
    assert await positions(records, messages) == [1, 2, 3]
    assert await drained(flows) == [message.job_id for message in messages]


async def test_only_the_first_job_of_a_flow_finds_it_empty(staging: Staging) -> None:
    answers = [(await staging.record(deferral(number))).answer for number in range(2)]
    assert [isinstance(answer, Enqueued) and answer.flow_was_empty for answer in answers] == [True, False]


async def test_a_message_that_is_read_twice_is_one_job(staging: Staging, flows: Flows) -> None:
    messages = await messages_of(staging, 3)
    await staging.admit(messages[:2])
    assert await staging.admit(messages) == AdmitResult(3, 1, 0, 2)
    assert len(await drained(flows)) == 3
    assert await staging.admit(messages) == AdmitResult(3, 0, 0, 3), "the jobs are running"


async def test_messages_of_canceled_and_unknown_jobs_are_skipped(
    staging: Staging, flows: Flows, records: Records
) -> None:
    messages = await messages_of(staging, 2)
    assert await records.cancel(messages[0].job_id)
    unknown = IntakeMessage("0-" + "x" * 22, MessageLocation(0, 9), b"")
    assert await staging.admit([*messages, unknown]) == AdmitResult(3, 1, 0, 2)
    assert await drained(flows) == [messages[1].job_id]


async def test_caps_count_jobs_whose_requests_are_in_kafka(
    queue: Redis, settings: Settings, queueing: Scripts, staging: Staging
) -> None:
    rule = active(queue={"max_depth": 2})
    await messages_of(staging, 2, rule=rule)
    assert isinstance((await staging.record(deferral(2, rule))).answer, Full)
    capped = staging_with(queue, queueing, settings, queue_max_jobs=2)
    assert isinstance((await capped.record(deferral(3, user="other"))).answer, Full)


async def test_jobs_beyond_the_window_of_a_flow_are_spilled_in_order(
    queue: Redis, settings: Settings, queueing: Scripts, flows: Flows, records: Records
) -> None:
    staging = staging_with(queue, queueing, settings, kafka_window=4)
    messages = await messages_of(staging, 10)
    assert await staging.admit(messages) == AdmitResult(10, 4, 6, 0)
    assert await positions(records, messages) == list(range(1, 11))
    assert await refill_all(staging, messages) == 0, "the flow has no room"
    found = await drained(flows)
    while await refill_all(staging, messages):
        found += await drained(flows)
    assert found == [message.job_id for message in messages]


async def test_no_message_overtakes_spilled_jobs(
    queue: Redis, settings: Settings, queueing: Scripts, flows: Flows
) -> None:
    staging = staging_with(queue, queueing, settings, kafka_window=4)
    messages = await messages_of(staging, 6)
    await staging.admit(messages)
    assert await drained(flows) == [message.job_id for message in messages[:4]]
    [late] = await messages_of(staging, 1, first=6)
    assert await staging.admit([late]) == AdmitResult(1, 0, 1, 0), "there is room, but spilled jobs come first"
    assert await refill_all(staging, [*messages, late]) == 3
    assert await drained(flows) == [message.job_id for message in [*messages[4:], late]]


async def test_a_flow_is_refilled_when_less_than_half_of_its_window_is_used(
    queue: Redis, settings: Settings, queueing: Scripts, flows: Flows
) -> None:
    staging = staging_with(queue, queueing, settings, kafka_window=4)
    messages = await messages_of(staging, 8)
    await staging.admit(messages)
    [flow] = await take(flows)
    await lease(flows, flow, 1)
    await asyncio.sleep(0.15)
    assert await refill_all(staging, messages) == 0, "three of four are used"
    await lease(flows, flow, 1)
    assert await refill_all(staging, messages) == 2


async def test_a_full_flow_does_not_delay_another(
    queue: Redis, settings: Settings, queueing: Scripts, flows: Flows
) -> None:
    staging = staging_with(queue, queueing, settings, kafka_held_bytes=1)
    large = await messages_of(staging, 3, rule=active(rule_id="large"))
    large = [IntakeMessage(message.job_id, message.location, message.stored + b"x" * 100_000) for message in large]
    other = await messages_of(staging, 3, first=10, user="other")
    assert await staging.admit([*large, *other]) == AdmitResult(6, 4, 2, 0)
    assert len(await drained(flows)) == 4


async def test_messages_stay_in_kafka_while_the_queue_redis_has_no_memory(
    queue: Redis, settings: Settings, queueing: Scripts, staging: Staging
) -> None:
    messages = await messages_of(staging, 3)
    configured = int((await queue.config_get("maxmemory"))["maxmemory"] or 0)
    try:
        await queue.config_set("maxmemory", 2 * (await queue.info("memory"))["used_memory"])
        full = staging_with(queue, queueing, settings, queue_max_memory=0.01)
        full._room = (*full._room[:3], 0.02)
        assert await full.admit(messages) == AdmitResult(0, 0, 0, 0)
    finally:
        await queue.config_set("maxmemory", configured)
    assert (await staging.admit(messages)).resident == 3


async def test_spilled_jobs_can_be_canceled_and_purged(
    queue: Redis, settings: Settings, queueing: Scripts, flows: Flows, records: Records
) -> None:
    staging = staging_with(queue, queueing, settings, kafka_window=2)
    messages = await messages_of(staging, 6)
    await staging.admit(messages[:5])
    assert await records.cancel(messages[3].job_id)
    assert await positions(records, messages) == [1, 2, 3, None, 4, 5]
    assert await Operations(queue, queueing, settings).purge("r") == (5, None)
    assert {(await job_of(records, message.job_id)).status for message in messages} == {JobStatus.CANCELED}
    assert await staging.admit(messages[5:]) == AdmitResult(1, 0, 0, 1)
    left = [key async for key in queue.scan_iter("*") if b"job:" not in key and b"owner" not in key]
    kept = {f"{{q0}}:{name}".encode() for name in ("jobs", "priorities", "unread", "outcomes", "outcomes:kept")}
    assert set(left) == kept, "nothing else is left of the flow"


async def test_a_job_that_is_canceled_while_it_is_fetched_is_not_refilled(
    queue: Redis, settings: Settings, queueing: Scripts, flows: Flows, records: Records
) -> None:
    staging = staging_with(queue, queueing, settings, kafka_window=2)
    messages = await messages_of(staging, 6)
    await staging.admit(messages)
    await drained(flows)
    found = await staging.next_to_fetch(0, 5.0)
    assert [job.job_id for job in found.jobs] == [message.job_id for message in messages[2:4]]
    assert (await staging.next_to_fetch(0, 5.0)).jobs == [], "another worker fetches them"
    await records.cancel(messages[2].job_id)
    requests = [(job.job_id, b"[]") for job in found.jobs]
    assert await staging.refill("r|user:u", requests) == RefillResult(resident=1, lost=0)
    assert await staging.refill("r|user:u", requests) == RefillResult(resident=0, lost=0), "refilled once"


async def test_a_job_whose_request_kafka_no_longer_has_becomes_a_dead_letter(
    queue: Redis, settings: Settings, queueing: Scripts, flows: Flows, records: Records
) -> None:
    staging = staging_with(queue, queueing, settings, kafka_window=2)
    messages = await messages_of(staging, 3)
    await staging.admit(messages)
    await drained(flows)
    assert await staging.refill("r|user:u", [(messages[2].job_id, None)]) == RefillResult(resident=0, lost=1)
    job = await job_of(records, messages[2].job_id)
    assert (job.status, job.error_code) == (JobStatus.FAILED, "expired")


async def test_a_flow_is_not_empty_while_it_has_spilled_and_awaiting_jobs(
    queue: Redis, settings: Settings, queueing: Scripts, flows: Flows
) -> None:
    staging = staging_with(queue, queueing, settings, kafka_window=2)
    await staging.admit(await messages_of(staging, 3))
    await messages_of(staging, 1, first=5)
    [flow] = await take(flows)
    leased = await lease(flows, flow, 2)
    assert (leased.head.same_cost, leased.head.depth) == (0, 2), "live requests may not overtake them"


@pytest.mark.parametrize("where", ["awaiting", "spilled"])
async def test_a_job_that_expires_while_its_request_is_in_kafka_can_be_replayed(
    queue: Redis, settings: Settings, queueing: Scripts, flows: Flows, records: Records, where: str
) -> None:
    staging = staging_with(queue, queueing, settings, kafka_window=2)
    rule = active(queue={"max_wait_seconds": 0.3}, drain={"limit": 1000, "window_seconds": 1})
    messages = await messages_of(staging, 3, rule=rule)
    if where == "spilled":
        await staging.admit(messages)
    ended = 0
    while ended < 3:
        ended += await flows.expire(0)
    assert {(await job_of(records, message.job_id)).error_code for message in messages} == {"expired"}
    outbox = await staging.outbox(0, 5.0)
    assert sorted(entry.job_id for entry in outbox) == sorted(message.job_id for message in messages)
    assert {(entry.flow, entry.code) for entry in outbox} == {("r|user:u", "expired")}
    assert await staging.outbox(0, 5.0) == [], "another worker publishes them"

    last, dead_letters = messages[2], DeadLetters(queue, queueing, settings)
    if where == "awaiting":
        with pytest.raises(Conflict):
            await dead_letters.replay(last.job_id, active())
        assert await staging.admit(messages) == AdmitResult(3, 0, 0, 3)
    await dead_letters.replay(last.job_id, active())
    assert await refill_all(staging, messages) == 1
    assert await drained(flows) == [last.job_id]


async def test_an_abandoned_job_is_never_sent(staging: Staging, flows: Flows, records: Records) -> None:
    it = deferral(0, idempotency_key="k")
    job_id = await recorded(staging, it)
    assert await staging.abandon(job_id)
    assert (await job_of(records, job_id)).status is JobStatus.CANCELED
    assert not (await records.page("own", 10)).jobs, "its client was refused"
    assert await staging.admit([IntakeMessage(job_id, MessageLocation(0, 0), b"[]")]) == AdmitResult(1, 0, 0, 1)
    assert await drained(flows) == []
    assert await recorded(staging, it) != job_id, "its idempotency key is free again"


async def test_a_job_that_is_abandoned_after_its_message_was_read_is_not_sent(staging: Staging, flows: Flows) -> None:
    [message] = await messages_of(staging, 1)
    await staging.admit([message])
    assert await staging.abandon(message.job_id)
    assert await drained(flows) == []


async def test_a_job_that_was_sent_or_confirmed_is_not_abandoned(staging: Staging, flows: Flows) -> None:
    [message] = await messages_of(staging, 1)
    await staging.admit([message])
    assert await drained(flows) == [message.job_id]
    assert not await staging.abandon(message.job_id)
    confirmed = await recorded(staging, deferral(1, idempotency_key="k"))
    assert await staging.confirm_produced(confirmed)
    assert not await staging.abandon(confirmed)


async def test_a_canceled_job_cannot_be_confirmed(staging: Staging) -> None:
    job_id = await recorded(staging, deferral(0))
    await staging.abandon(job_id)
    assert not await staging.confirm_produced(job_id)


async def test_a_repeated_idempotency_key_says_whether_the_message_was_read(staging: Staging) -> None:
    it = deferral(0, idempotency_key="k")
    job_id = await recorded(staging, it)
    repeated = await staging.record(it)
    assert isinstance(repeated.answer, Enqueued)
    assert (repeated.answer.known, repeated.answer.job.id, repeated.awaits_message) == (True, job_id, True)
    await staging.admit([IntakeMessage(job_id, MessageLocation(0, 0), b"[]")])
    assert (await staging.record(it)).awaits_message is False


async def test_jobs_without_a_message_are_canceled_once_kafka_was_read_past_them(
    staging: Staging, records: Records, queue: Redis
) -> None:
    orphan, confirmed = [await recorded(staging, deferral(number)) for number in range(2)]
    await staging.confirm_produced(confirmed)
    now_ms = await staging.now_ms()
    await staging.note_read_until(0, now_ms + FAR_MS)
    assert await staging.sweep(2, 10.0) == 0, "one partition was not read"
    await staging.note_read_until(1, now_ms + 5_000)
    assert await staging.sweep(2, 10.0) == 0, "its edge may still produce it"
    await staging.note_read_until(1, now_ms + 20_000)
    assert await staging.sweep(2, 10.0) == 1
    assert (await job_of(records, orphan)).status is JobStatus.CANCELED
    assert (await job_of(records, confirmed)).status is JobStatus.QUEUED
    assert await queue.exists(keys.record(0, confirmed))
