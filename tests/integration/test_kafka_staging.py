"""Jobs by way of Kafka, step by step: the queue Redis' side of it, without a broker."""

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from app.errors import Conflict
from app.jobs.model import Job, JobStatus, encode_request
from app.queue import keys
from app.queue.flows import Flows
from app.queue.kafka.staging import Admitted, Arrived, Place, Staging
from app.queue.model import Deferral, Enqueued, Full
from app.queue.operations import Operations
from app.queue.records import Records
from app.redis_wire.scripts import Scripts
from app.settings import Settings
from tests.integration.flow_steps import active, deferral, give_back, ids, lease, take

FAR_MS = 10**9


@pytest.fixture
def staging(queue: Redis, queueing: Scripts, settings: Settings) -> Staging:
    return Staging(queue, queueing, settings)


def small(queue: Redis, queueing: Scripts, settings: Settings, **changed: Any) -> Staging:  # noqa: ANN401
    return Staging(queue, queueing, settings.model_copy(update=changed))


async def recorded(staging: Staging, it: Deferral) -> str:
    answer, _ = await staging.record(it)
    assert isinstance(answer, Enqueued)
    return answer.job.id


async def sent(staging: Staging, count: int, first: int = 0, **more: Any) -> list[Arrived]:  # noqa: ANN401
    """Recorded by an edge, and read from Kafka."""
    found = []
    for number in range(first, first + count):
        it = deferral(number, **more)
        found.append(Arrived(await recorded(staging, it), Place(0, number), encode_request(it.request)))
    return found


async def seen(records: Records, job_id: str) -> Job:
    job = await records.get(job_id)
    assert job is not None
    return job


async def positions(records: Records, messages: list[Arrived]) -> list[int | None]:
    return [(await seen(records, message.job_id)).position for message in messages]


async def load_all(staging: Staging, messages: list[Arrived]) -> int:
    """What flows want, put in; how much that was."""
    stored = {message.place: message.stored for message in messages}
    await asyncio.sleep(0.15)  # a flow that had enough is looked at again
    _, next_to_fetch = await staging.next_to_fetch(0, 0.0)
    for flow in {one.flow for one in next_to_fetch}:
        await staging.refill(flow, [(one.job_id, stored.get(one.place)) for one in next_to_fetch if one.flow == flow])
    return len(next_to_fetch)


async def drained(flows: Flows) -> list[str]:
    """All that may be sent now, in order."""
    found: list[str] = []
    for flow in await take(flows):
        while flow.same_cost:
            leased = await lease(flows, flow, flow.same_cost)
            found += ids(leased.jobs)
            if leased.same_cost == 0:
                break
        await give_back(flows, flow)
    return found


async def test_a_recorded_job_has_its_place_and_is_not_sent_before_its_message(
    staging: Staging, flows: Flows, records: Records
) -> None:
    messages = await sent(staging, 3)
    assert await positions(records, messages) == [1, 2, 3]
    assert (await seen(records, messages[2].job_id)).eta_s == pytest.approx(0.2)
    assert await take(flows) == []
    assert await staging.admit(messages) == Admitted(3, 3, 0, 0)
    assert await positions(records, messages) == [1, 2, 3]
    assert await drained(flows) == [message.job_id for message in messages]


async def test_only_the_first_of_a_flow_finds_it_empty(staging: Staging) -> None:
    answers = [(await staging.record(deferral(number)))[0] for number in range(2)]
    assert [isinstance(answer, Enqueued) and answer.flow_was_empty for answer in answers] == [True, False]


async def test_a_message_read_twice_is_one_job(staging: Staging, flows: Flows) -> None:
    messages = await sent(staging, 3)
    await staging.admit(messages[:2])
    assert await staging.admit(messages) == Admitted(3, 1, 0, 2)
    assert len(await drained(flows)) == 3
    assert await staging.admit(messages) == Admitted(3, 0, 0, 3), "nor while it runs"


async def test_what_is_gone_or_canceled_is_skipped(staging: Staging, flows: Flows, records: Records) -> None:
    messages = await sent(staging, 2)
    assert await records.cancel(messages[0].job_id)
    stranger = Arrived("0-" + "x" * 22, Place(0, 9), b"")
    assert await staging.admit([*messages, stranger]) == Admitted(3, 1, 0, 2)
    assert await drained(flows) == [messages[1].job_id]


async def test_caps_count_what_is_on_kafka(
    queue: Redis, settings: Settings, queueing: Scripts, staging: Staging
) -> None:
    rule = active(queue={"max_depth": 2})
    await sent(staging, 2, rule=rule)
    assert isinstance((await staging.record(deferral(2, rule)))[0], Full)
    capped = small(queue, queueing, settings, queue_max_jobs=2)
    assert isinstance((await capped.record(deferral(3, user="other")))[0], Full)


async def test_more_than_its_window_of_a_flow_stays_behind_in_order(
    queue: Redis, settings: Settings, queueing: Scripts, flows: Flows, records: Records
) -> None:
    staging = small(queue, queueing, settings, kafka_window=4)
    messages = await sent(staging, 10)
    assert await staging.admit(messages) == Admitted(10, 4, 6, 0)
    assert await positions(records, messages) == list(range(1, 11))
    assert await load_all(staging, messages) == 0, "it has enough"
    found = await drained(flows)
    while await load_all(staging, messages):
        found += await drained(flows)
    assert found == [message.job_id for message in messages]


async def test_nothing_passes_what_is_behind(queue: Redis, settings: Settings, queueing: Scripts, flows: Flows) -> None:
    staging = small(queue, queueing, settings, kafka_window=4)
    messages = await sent(staging, 6)
    await staging.admit(messages)
    assert await drained(flows) == [message.job_id for message in messages[:4]]
    [late] = await sent(staging, 1, first=6)
    assert await staging.admit([late]) == Admitted(1, 0, 1, 0), "there is room, and others were first"
    assert await load_all(staging, [*messages, late]) == 3
    assert await drained(flows) == [message.job_id for message in [*messages[4:], late]]


async def test_a_flow_wants_more_when_it_has_less_than_half(
    queue: Redis, settings: Settings, queueing: Scripts, flows: Flows
) -> None:
    staging = small(queue, queueing, settings, kafka_window=4)
    messages = await sent(staging, 8)
    await staging.admit(messages)
    [flow] = await take(flows)
    await lease(flows, flow, 1)
    await asyncio.sleep(0.15)
    assert await load_all(staging, messages) == 0, "it has three"
    await lease(flows, flow, 1)
    assert await load_all(staging, messages) == 2


async def test_a_full_flow_does_not_keep_another_waiting(
    queue: Redis, settings: Settings, queueing: Scripts, flows: Flows
) -> None:
    staging = small(queue, queueing, settings, kafka_held_bytes=1)
    large = await sent(staging, 3, rule=active(rule_id="large"))
    large = [Arrived(message.job_id, message.place, message.stored + b"x" * 100_000) for message in large]
    other = await sent(staging, 3, first=10, user="other")
    assert await staging.admit([*large, *other]) == Admitted(6, 4, 2, 0)
    assert len(await drained(flows)) == 4


async def test_without_any_memory_messages_stay_on_kafka(
    queue: Redis, settings: Settings, queueing: Scripts, staging: Staging
) -> None:
    messages = await sent(staging, 3)
    try:
        await queue.config_set("maxmemory", 2 * (await queue.info("memory"))["used_memory"])
        full = small(queue, queueing, settings, queue_max_memory=0.01)
        full._room = (*full._room[:3], 0.02)
        assert await full.admit(messages) == Admitted(0, 0, 0, 0)
    finally:
        await queue.config_set("maxmemory", 0)
    assert (await staging.admit(messages)).resident == 3


async def test_what_is_behind_can_be_canceled_and_purged(
    queue: Redis, settings: Settings, queueing: Scripts, flows: Flows, records: Records
) -> None:
    staging = small(queue, queueing, settings, kafka_window=2)
    messages = await sent(staging, 6)
    await staging.admit(messages[:5])
    assert await records.cancel(messages[3].job_id)
    assert await positions(records, messages) == [1, 2, 3, None, 4, 5]
    assert await Operations(queue, queueing, settings).purge("r") == 5
    assert {(await seen(records, message.job_id)).status for message in messages} == {JobStatus.CANCELED}
    assert await staging.admit(messages[5:]) == Admitted(1, 0, 0, 1)
    left = [key async for key in queue.scan_iter("*") if b"job:" not in key and b"owner" not in key]
    assert set(left) == {b"{q0}:jobs", b"{q0}:priorities", b"{q0}:unread"}, "nothing else is left of the flow"


async def test_what_is_canceled_while_it_is_fetched_is_not_put_in(
    queue: Redis, settings: Settings, queueing: Scripts, flows: Flows, records: Records
) -> None:
    staging = small(queue, queueing, settings, kafka_window=2)
    messages = await sent(staging, 6)
    await staging.admit(messages)
    await drained(flows)
    _, next_to_fetch = await staging.next_to_fetch(0, 5.0)
    assert [one.job_id for one in next_to_fetch] == [message.job_id for message in messages[2:4]]
    assert (await staging.next_to_fetch(0, 5.0))[1] == [], "someone fetches them"
    await records.cancel(messages[2].job_id)
    requests = [(one.job_id, b"[]") for one in next_to_fetch]
    assert await staging.refill("r|user:u", requests) == (1, 0)
    assert await staging.refill("r|user:u", requests) == (0, 0), "put in once"


async def test_a_request_that_kafka_has_no_longer_is_a_dead_letter(
    queue: Redis, settings: Settings, queueing: Scripts, flows: Flows, records: Records
) -> None:
    staging = small(queue, queueing, settings, kafka_window=2)
    messages = await sent(staging, 3)
    await staging.admit(messages)
    await drained(flows)
    assert await staging.refill("r|user:u", [(messages[2].job_id, None)]) == (0, 1)
    job = await seen(records, messages[2].job_id)
    assert (job.status, job.error_code) == (JobStatus.FAILED, "expired")


async def test_the_flow_is_not_empty_while_there_is_more_on_kafka(
    queue: Redis, settings: Settings, queueing: Scripts, flows: Flows
) -> None:
    staging = small(queue, queueing, settings, kafka_window=2)
    await staging.admit(await sent(staging, 3))
    await sent(staging, 1, first=5)
    [flow] = await take(flows)
    leased = await lease(flows, flow, 2)
    assert (leased.same_cost, leased.depth) == (0, 2), "live requests may not pass them"


@pytest.mark.parametrize("where", ["awaiting", "spilled"])
async def test_what_waits_on_kafka_for_too_long_ends_and_can_be_sent_again(
    queue: Redis, settings: Settings, queueing: Scripts, flows: Flows, records: Records, where: str
) -> None:
    staging = small(queue, queueing, settings, kafka_window=2)
    rule = active(queue={"max_wait_seconds": 0.3}, drain={"limit": 1000, "window_seconds": 1})
    messages = await sent(staging, 3, rule=rule)
    if where == "spilled":
        await staging.admit(messages)
    ended = 0
    while ended < 3:
        ended += await flows.expire(0)
    assert {(await seen(records, message.job_id)).error_code for message in messages} == {"expired"}
    outbox = await staging.outbox(0, 5.0)
    assert sorted(letter.job_id for letter in outbox) == sorted(message.job_id for message in messages)
    assert {(letter.flow, letter.code) for letter in outbox} == {("r|user:u", "expired")}
    assert await staging.outbox(0, 5.0) == [], "someone tells them"

    last, operations = messages[2], Operations(queue, queueing, settings)
    if where == "awaiting":
        with pytest.raises(Conflict):
            await operations.replay(last.job_id, active())
        assert await staging.admit(messages) == Admitted(3, 0, 0, 3)
    await operations.replay(last.job_id, active())
    assert await load_all(staging, messages) == 1
    assert await drained(flows) == [last.job_id]


async def test_an_ambiguous_message_is_never_sent(staging: Staging, flows: Flows, records: Records) -> None:
    it = deferral(0, idempotency_key="k")
    job_id = await recorded(staging, it)
    assert await staging.abandon(job_id)
    assert (await seen(records, job_id)).status is JobStatus.CANCELED
    assert not (await records.page("own", 10)).jobs, "its client was told that there is none"
    assert await staging.admit([Arrived(job_id, Place(0, 0), b"[]")]) == Admitted(1, 0, 0, 1)
    assert await drained(flows) == []
    assert await recorded(staging, it) != job_id, "its key is free again"


async def test_an_ambiguous_message_that_was_read_is_not_sent_either(staging: Staging, flows: Flows) -> None:
    [message] = await sent(staging, 1)
    await staging.admit([message])
    assert await staging.abandon(message.job_id)
    assert await drained(flows) == []


async def test_what_was_sent_or_promised_stands(staging: Staging, flows: Flows) -> None:
    [message] = await sent(staging, 1)
    await staging.admit([message])
    assert await drained(flows) == [message.job_id]
    assert not await staging.abandon(message.job_id)
    promised = await recorded(staging, deferral(1, idempotency_key="k"))
    assert await staging.confirm_produced(promised)
    assert not await staging.abandon(promised)


async def test_a_promise_of_what_was_canceled_is_none(staging: Staging) -> None:
    job_id = await recorded(staging, deferral(0))
    await staging.abandon(job_id)
    assert not await staging.confirm_produced(job_id)


async def test_a_repeated_key_tells_whether_the_message_was_read(staging: Staging) -> None:
    it = deferral(0, idempotency_key="k")
    job_id = await recorded(staging, it)
    answer, awaits_message = await staging.record(it)
    assert isinstance(answer, Enqueued)
    assert (answer.known, answer.job.id, awaits_message) == (True, job_id, True)
    await staging.admit([Arrived(job_id, Place(0, 0), b"[]")])
    assert (await staging.record(it))[1] is False


async def test_jobs_without_a_message_are_found_once_kafka_was_read_past_them(
    staging: Staging, records: Records, queue: Redis
) -> None:
    orphan, promised = [await recorded(staging, deferral(number)) for number in range(2)]
    await staging.confirm_produced(promised)
    now_ms = await staging.now_ms()
    await staging.caught_up(0, now_ms + FAR_MS)
    assert await staging.sweep(2, 10.0) == 0, "one partition was not read"
    await staging.caught_up(1, now_ms + 5_000)
    assert await staging.sweep(2, 10.0) == 0, "its edge may be about to produce"
    await staging.caught_up(1, now_ms + 20_000)
    assert await staging.sweep(2, 10.0) == 1
    assert (await seen(records, orphan)).status is JobStatus.CANCELED
    assert (await seen(records, promised)).status is JobStatus.QUEUED
    assert await queue.exists(keys.record(0, promised))
