"""The Kafka queue on a real broker: the messages of edges, what the intake does with them, and the topics."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka.admin import NewTopic
from redis.asyncio import Redis

from app.errors import BodyTooLarge, QueueUnavailable, StartupError
from app.jobs.model import JobStatus, StoredRequest
from app.queue import keys
from app.queue.kafka.clients import kafka_admin, kafka_producer
from app.queue.kafka.messages import CURRENT, JOB, VERSION
from app.queue.kafka.topics import prepare_topics
from app.queue.model import Enqueued
from app.settings import Settings
from tests.support.flow_steps import active, deferral, give_back, lease, take
from tests.support.kafka_in_process import Kafka, kafka_parts
from tests.support.waiting import eventually


@pytest.fixture
async def kafka(kafka_settings: Settings, cache: Redis, queue: Redis) -> AsyncIterator[Kafka]:
    async with kafka_parts(kafka_settings, cache, queue) as kafka:
        await kafka.publish_rule()
        yield kafka


async def accepted(kafka: Kafka, *numbers: int, **more: Any) -> list[str]:  # noqa: ANN401
    """The ids of jobs that an edge has enqueued."""
    answers = [await kafka.queue.enqueue(deferral(number, **more)) for number in numbers]
    return [answer.job.id for answer in answers if isinstance(answer, Enqueued)]


async def create_topic(settings: Settings, **config: str) -> None:
    """Create the jobs' topic with a configuration of somebody else's."""
    admin = kafka_admin(settings)
    await admin.start()
    await admin.create_topics([NewTopic(settings.kafka_topic, 1, 1, topic_configs=config)])
    await admin.close()


async def produce(kafka: Kafka, value: object, key: bytes = b"r|user:u", version: bytes = CURRENT) -> None:
    """Produce a message as another producer may."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    await kafka.producer.produce(kafka.settings.kafka_topic, key, raw, [(VERSION, version)])


async def sent_requests(kafka: Kafka, count: int) -> list[StoredRequest]:
    """The requests that a worker would send, once there are `count` of them."""
    found: list[StoredRequest] = []

    async def enough() -> bool:
        for flow in await take(kafka.flows):
            leased = await lease(kafka.flows, flow, flow.head.same_cost)
            found.extend(job.request for job in leased.jobs)
            await give_back(kafka.flows, flow)
        return len(found) >= count

    await eventually(enough, 30, f"{count} jobs are due")
    return found


async def test_a_job_is_produced_to_the_topic_and_sent_from_its_flow(kafka: Kafka) -> None:
    jobs = await accepted(kafka, 0, 1, 2)
    messages = await kafka.written(kafka.settings.kafka_topic, 3)
    assert {message.key for message in messages} == {b"r|user:u"}
    assert len({message.partition for message in messages}) == 1
    assert [dict(message.headers) for message in messages] == [{VERSION: b"1", JOB: job_id.encode()} for job_id in jobs]
    assert [(await kafka.job(job_id)).position for job_id in jobs] == [1, 2, 3]
    async with kafka.intake():
        requests = await sent_requests(kafka, 3)
    assert [request.body for request in requests] == [b"body 0", b"body 1", b"body 2"]


async def test_an_intake_begins_where_the_last_one_committed(kafka: Kafka) -> None:
    async with kafka.intake():
        await kafka.in_flows(await accepted(kafka, *range(20)))
        await kafka.counted("resident", 20)
    more = await accepted(kafka, *range(20, 30))
    async with kafka.intake():
        await kafka.in_flows(more)
        await kafka.counted("resident", 30)  # each once


async def test_spilled_requests_are_fetched(kafka_settings: Settings, cache: Redis, queue: Redis) -> None:
    settings = kafka_settings.model_copy(update={"kafka_window": 5, "kafka_partitions": 2})
    async with kafka_parts(settings, cache, queue) as kafka:
        await kafka.publish_rule()
        for number in range(120):
            await accepted(kafka, number, user=f"u{number % 3}")
        async with kafka.intake():
            requests = await sent_requests(kafka, 120)
    bodies = [int(request.body.split()[1]) for request in requests]
    assert sorted(bodies) == list(range(120))
    for user in range(3):
        own = [number for number in bodies if number % 3 == user]
        assert own == sorted(own), "in order"


async def test_another_producer_may_submit_jobs(kafka: Kafka) -> None:
    submitted = {
        "rule_id": "r", "descriptor": "user:u", "method": "PUT", "target": "/orders?x=1", "body": "hello",
        "headers": [["Content-Type", "text/plain"], ["Cookie", "a=b"], ["Penstock-Job-Id", "mine"]],
        "issuer": "https://issuer.test", "subject": "u", "idempotency_key": "order-1",
    }  # fmt: skip
    await produce(kafka, submitted)
    await produce(kafka, submitted)
    await produce(kafka, submitted | {"idempotency_key": "order-2", "body": None, "body_base64": "AAEC"})
    async with kafka.intake():
        requests = await sent_requests(kafka, 2)
    assert [request.body for request in requests] == [b"hello", b"\x00\x01\x02"]
    assert (requests[0].method, requests[0].target) == ("PUT", b"/orders?x=1")
    assert requests[0].subject == ("https://issuer.test", "u")
    assert {name for name, _ in requests[0].headers} >= {b"content-type", b"x-request-id"}
    assert not {b"cookie", b"penstock-job-id"} & {name for name, _ in requests[0].headers}


GOOD = {"rule_id": "r", "descriptor": "user:u", "method": "GET", "target": "/"}


@pytest.mark.parametrize(
    ("value", "version", "reason"),
    [
        (b"\x00\x01", CURRENT, "Invalid JSON"),
        (GOOD, b"2", "penstock-version is not 1"),
        (GOOD | {"target": "no slash"}, CURRENT, "target"),
        (GOOD | {"descriptor": "user:a b"}, CURRENT, "descriptor"),
        (GOOD | {"headers": [["a", "b\r\nc: d"]]}, CURRENT, "headers"),
        (GOOD | {"rule_id": "another"}, CURRENT, "there is no rule another"),
        (GOOD | {"body_base64": "?"}, CURRENT, "body_base64"),
        (GOOD | {"more": 1}, CURRENT, "more"),
    ],
    ids=["garbage", "version", "target", "descriptor", "headers", "rule", "base64", "field"],
)
async def test_an_unreadable_message_goes_to_the_dead_letter_topic_and_its_partition_goes_on(
    kafka: Kafka, value: object, version: bytes, reason: str
) -> None:
    await produce(kafka, value, version=version)
    [next_job] = await accepted(kafka, 7)
    async with kafka.intake():
        await kafka.in_flows([next_job])
        [letter] = await kafka.written(kafka.settings.kafka_dead_letter_topic, 1)
        await kafka.counted("refused", 1)
    headers = dict(letter.headers)
    assert reason in headers["reason"].decode()
    assert headers["from"].decode().split()[0] == kafka.settings.kafka_topic
    assert letter.value == (value if isinstance(value, bytes) else json.dumps(value).encode())


async def test_a_dead_letter_is_published_with_its_reason(kafka: Kafka) -> None:
    rule = active(queue={"max_wait_seconds": 8})
    [job_id] = await accepted(kafka, 0, rule=rule)
    async with kafka.intake():
        jobs = keys.prefix(0) + "flow:r|user:u:jobs"
        await eventually(lambda: kafka.redis.exists(jobs), 30, "its request was read from Kafka")
        await eventually(lambda: kafka.flows.expire(0), 30, "the job has expired")
        [letter] = await kafka.written(kafka.settings.kafka_dead_letter_topic, 1)
    named = {name: value.decode() for name, value in letter.headers}
    assert letter.key == b"r|user:u"
    assert {name: named[name] for name in ("job", "rule", "flow", "attempts", "reason")} == {
        "job": job_id, "rule": "r", "flow": "r|user:u", "attempts": "0", "reason": "expired",
    }  # fmt: skip
    assert b"body 0" in letter.value


async def test_a_repeated_key_produces_the_message_of_a_job_whose_edge_failed_before_it(kafka: Kafka) -> None:
    it = deferral(0, idempotency_key="k")
    answer = (await kafka.staging.record(it)).answer
    assert isinstance(answer, Enqueued)
    found = await kafka.queue.find_by_idempotency_key([("r", "user:u")], it.owner, "k", it.request)
    assert found is not None
    assert found.id == answer.job.id
    again = await kafka.queue.enqueue(it)
    assert isinstance(again, Enqueued)
    assert (again.job.id, again.known) == (answer.job.id, True)
    async with kafka.intake():
        assert [request.body for request in await sent_requests(kafka, 1)] == [b"body 0"]


async def test_a_message_larger_than_the_topic_allows_is_refused_and_the_next_is_accepted(
    kafka_settings: Settings, cache: Redis, queue: Redis
) -> None:
    await create_topic(kafka_settings, **{"max.message.bytes": "2000"})
    async with kafka_parts(kafka_settings.model_copy(update={"kafka_partitions": 1}), cache, queue) as kafka:
        await kafka.publish_rule()
        large = StoredRequest("POST", b"/", [], b"x" * 5000)
        it = deferral(0)
        with pytest.raises(BodyTooLarge):
            await kafka.queue.enqueue(deferral_of(large))
        await eventually(lambda: _accepted(kafka), 30, "the next job is accepted")
        async with kafka.intake():
            [request] = await sent_requests(kafka, 1)
        assert request.body == it.request.body


def deferral_of(request: StoredRequest) -> Any:  # noqa: ANN401
    it = deferral(0)
    return type(it)(it.rule, it.charges, it.owner, request)


async def _accepted(kafka: Kafka) -> bool:
    try:
        return bool(await accepted(kafka, 0))
    except QueueUnavailable:  # the producer is being replaced
        return False


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"retention.ms": "86400000"}, "keeps messages for 86400 s"),
        ({"cleanup.policy": "compact"}, "compacted"),
    ],
    ids=["retention", "compacted"],
)
async def test_a_topic_that_would_lose_jobs_is_refused(
    kafka_settings: Settings, config: dict[str, str], problem: str
) -> None:
    await create_topic(kafka_settings, **config)
    with pytest.raises(StartupError, match=problem):
        await prepare_topics(kafka_settings)


async def test_retention_must_outlast_the_longest_wait_of_any_rule(kafka: Kafka) -> None:
    await kafka.publish_rule(queue={"max_wait_seconds": 6 * 86_400})
    with pytest.raises(StartupError, match="longest max_wait_seconds, 518400"):
        async with kafka.intake() as running:
            await asyncio.wait({running}, timeout=30)
    late = deferral(0, active(queue={"max_wait_seconds": 7 * 86_400}))
    with pytest.raises(QueueUnavailable):
        await kafka.queue.enqueue(late)


async def test_topics_are_created_as_configured(kafka_settings: Settings) -> None:
    settings = kafka_settings.model_copy(update={"kafka_partitions": 3, "kafka_retention_hours": 50.0})
    assert await prepare_topics(settings) == 50 * 3600
    assert await prepare_topics(settings) == 50 * 3600, "the second time the topic exists"
    producer = kafka_producer(settings)
    await producer.start()
    try:
        assert len(await producer.partitions_for(settings.kafka_topic)) == 3
    finally:
        await producer.stop()


async def test_a_job_whose_edge_failed_before_its_message_is_canceled(
    kafka_settings: Settings, cache: Redis, queue: Redis
) -> None:
    settings = kafka_settings.model_copy(update={"kafka_timeout_ms": 1000.0, "queue_timeout_ms": 1000.0})
    async with kafka_parts(settings, cache, queue) as kafka:
        await kafka.publish_rule()
        orphan, confirmed = [(await kafka.staging.record(deferral(number))).answer for number in range(2)]
        assert isinstance(orphan, Enqueued)
        assert isinstance(confirmed, Enqueued)
        await kafka.staging.confirm_produced(confirmed.job.id)
        orphan_id, confirmed_id = orphan.job.id, confirmed.job.id

        async def canceled() -> bool:
            return (await kafka.job(orphan_id)).status is JobStatus.CANCELED

        async with kafka.intake():
            await eventually(canceled, 40, "the job without a message is canceled")
        assert (await kafka.job(confirmed_id)).status is JobStatus.QUEUED


async def test_a_job_that_is_abandoned_while_its_message_is_in_kafka_is_never_sent(kafka: Kafka) -> None:
    first, second = await accepted(kafka, 0, 1)
    assert await kafka.staging.abandon(first)
    async with kafka.intake():
        await kafka.in_flows([second])
        assert [request.body for request in await sent_requests(kafka, 1)] == [b"body 1"]
    assert (await kafka.job(first)).status is JobStatus.CANCELED
