"""Whatever a message is, its partition goes on: it is copied to the dead-letter topic, or counted and passed over."""

import json
import random
import string
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from redis.asyncio import Redis

from app.jobs.model import new_job_id
from app.queue.kafka.clients import kafka_admin
from app.queue.kafka.messages import CURRENT, JOB, VERSION
from app.queue.kafka.topics import prepare_topics
from app.settings import Settings
from consumers.kafka.refusal import MAX_VALUE_BYTES
from tests.support.flow_steps import give_back, lease, take
from tests.support.kafka_in_process import Kafka, kafka_parts
from tests.support.waiting import eventually

Headers = list[tuple[str, bytes]]
OURS = (VERSION, CURRENT)
GOOD = {"rule_id": "r", "descriptor": "user:u", "method": "GET", "target": "/good"}
NO_VALUE = cast("bytes", None)
"""Kafka allows headers without a value; aiokafka's types do not say so."""

POISON: dict[str, tuple[bytes | None, bytes | None, Headers, int]] = {
    "a job header without a value": (b"k", b"{}", [OURS, (JOB, NO_VALUE)], 1),
    "a version header without a value": (b"k", b"{}", [(VERSION, NO_VALUE)], 1),
    "nothing at all": (b"", None, [], 1),
    "a large value": (b"k", b"x" * 1_300_000, [OURS], 1),
    "a large key": (b"k" * 900_000, b"{}", [OURS], 1),
    "a member with a large name": (b"k", json.dumps({"n" * 900_000: 1}).encode(), [OURS], 1),
    "a large text": (b"k", json.dumps(GOOD | {"target": "t" * 900_000}).encode(), [OURS], 1),
    "many members": (b"k", json.dumps({str(number): 0 for number in range(60_000)}).encode(), [OURS], 1),
    "deep": (b"k", b"[" * 100_000, [OURS], 1),
    "lone surrogates": (b"k", json.dumps(GOOD | {"subject": "\ud800", "issuer": "i"}).encode(), [OURS], 1),
    "a job that is not known": (b"k", b"x", [OURS, (JOB, new_job_id(0).encode())], 0),
    "a job's id that is no text": (b"k", b"x", [OURS, (JOB, b"\xff\xfe")], 1),
    "many headers": (b"k", b"{", [(f"h{number}", b"x" * 50) for number in range(2000)], 1),
}


@pytest.fixture
async def kafka(kafka_settings: Settings, cache: Redis, queue: Redis) -> AsyncIterator[Kafka]:
    settings = kafka_settings.model_copy(update={"kafka_partitions": 2})
    async with kafka_parts(settings, cache, queue) as kafka:
        await kafka.publish_rule(queue={"max_depth": 10_000_000})
        await prepare_topics(settings)
        yield kafka


@asynccontextmanager
async def raw_producer(settings: Settings, **more: Any) -> AsyncIterator[AIOKafkaProducer]:  # noqa: ANN401
    """Another program's producer, which is bound by nothing."""
    bootstrap = list(settings.kafka_bootstrap)
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, max_request_size=4_000_000, **more)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def runs(kafka: Kafka, target: bytes = b"/good") -> None:
    """Wait until a worker would send the good request."""

    async def found() -> bool:
        for flow in await take(kafka.flows):
            leased = await lease(kafka.flows, flow, 100)
            await give_back(kafka.flows, flow)
            if any(job.request.target == target for job in leased.jobs):
                return True
        return False

    await eventually(found, 60, "the good message runs")


async def good(kafka: Kafka, producer: AIOKafkaProducer, target: str = "/good") -> None:
    value = json.dumps(GOOD | {"target": target}).encode()
    await producer.send_and_wait(kafka.settings.kafka_topic, value, key=b"k", headers=[OURS], partition=0)


async def test_every_kind_of_poison_is_refused_and_the_next_message_runs(kafka: Kafka) -> None:
    topic = kafka.settings.kafka_topic
    async with raw_producer(kafka.settings) as producer:
        for key, value, headers, _ in POISON.values():
            await producer.send_and_wait(topic, value, key=key, headers=headers, partition=0)
        await good(kafka, producer)
    refused = sum(count for *_, count in POISON.values())
    async with kafka.intake():
        await runs(kafka)
        await kafka.counted("refused", refused)
        letters = await kafka.written(kafka.settings.kafka_dead_letter_topic, refused)
    assert len({dict(letter.headers)["from"] for letter in letters}) == refused
    for letter in letters:
        named = dict(letter.headers)
        assert len(letter.value or b"") <= MAX_VALUE_BYTES
        assert len(named["reason"]) < 4000
        assert sum(len(value) for value in named.values()) < 8000
    cut = [dict(letter.headers)["cut"] for letter in letters if "cut" in dict(letter.headers)]
    assert b"1 1300000" in cut, "the copy says how long key and value were"


async def test_what_the_dead_letter_topic_takes_in_no_form_is_counted_and_passed_over(
    kafka_settings: Settings, cache: Redis, queue: Redis
) -> None:
    """The topic is somebody else's, and takes no message of a hundred bytes."""
    admin = kafka_admin(kafka_settings)
    await admin.start()
    config = {"max.message.bytes": "100"}
    await admin.create_topics([NewTopic(kafka_settings.kafka_dead_letter_topic, 2, 1, topic_configs=config)])
    await admin.close()
    async with kafka_parts(kafka_settings, cache, queue) as kafka:
        await kafka.publish_rule()
        await prepare_topics(kafka_settings)
        async with raw_producer(kafka_settings) as producer:
            await producer.send_and_wait(kafka_settings.kafka_topic, b"x" * 5000, headers=[OURS], partition=0)
            await good(kafka, producer)
        async with kafka.intake():
            await runs(kafka)
            await kafka.counted("dropped", 1)


class NotUtf8(str):
    """A header name that a library of another language may write: its bytes are not UTF-8."""

    def encode(self, *_: object, **__: object) -> bytes:
        return b"\xff\xfe-name"


async def send_undecodable(producer: AIOKafkaProducer, topic: str, names: list[str]) -> None:
    """One batch with a message for each header name."""
    batch = producer.create_batch()
    batch._builder = _DefaultRecordBatchBuilderPy(2, 0, 0, -1, -1, 0, 1_000_000)  # the compiled one takes texts only
    for name in names:
        headers = [OURS, (name, b"x")]
        value = json.dumps(GOOD | {"target": "/between"}).encode()
        assert batch.append(timestamp=None, key=b"k", value=value, headers=headers) is not None
    await producer.send_batch(batch, topic, partition=0)
    await producer.flush()


async def test_messages_that_cannot_be_decoded_are_passed_over_and_nothing_else_is_lost(kafka: Kafka) -> None:
    """They are within a batch and a batch of their own, while another partition has messages too.

    What stands behind such a message in the same batch cannot be decoded either: aiokafka reads a batch in order.
    """
    topic, bad = kafka.settings.kafka_topic, NotUtf8("x")
    async with raw_producer(kafka.settings) as producer:
        await send_undecodable(producer, topic, ["a", "b", bad, "c", bad])
        for number in range(300):
            value = json.dumps(GOOD | {"target": f"/other/{number}"}).encode()
            await producer.send(topic, value, key=b"k", headers=[OURS], partition=1)
        await send_undecodable(producer, topic, [bad])
        await good(kafka, producer)
    async with kafka.intake():
        await runs(kafka)
        await kafka.counted("undecodable", 3 + 1)
        await kafka.counted("resident", 2 + 300 + 1)
    async with raw_producer(kafka.settings) as producer:
        await good(kafka, producer, "/later")
    async with kafka.intake():  # begins behind what was passed over
        await runs(kafka, b"/later")
        assert kafka.registries[-1].get_sample_value("penstock_intake_total", {"outcome": "undecodable"}) is None


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_other_producers_may_compress(kafka: Kafka, codec: str) -> None:
    async with raw_producer(kafka.settings, compression_type=codec) as producer:
        await good(kafka, producer)
    async with kafka.intake():
        await runs(kafka)


def random_messages(randomness: random.Random, job_ids: list[str]) -> Callable[[], tuple[bytes, bytes | None, Headers]]:
    """Random and mutated messages: each is wrong in some way, or a job like any other."""

    def text(length: int) -> str:
        characters = string.printable + ("äé漢" if randomness.random() < 0.9 else "\ud800")
        return "".join(randomness.choices(characters, k=randomness.randrange(1, length)))

    def anything(depth: int = 3) -> Any:  # noqa: ANN401 - any JSON value
        kind = randomness.randrange(8 if depth else 5)
        simple = [None, True, randomness.randrange(-(10**20), 10**20), randomness.random() * 10**300, text(30)]
        if kind < 5:
            return simple[kind]
        if kind == 5:
            return [anything(depth - 1) for _ in range(randomness.randrange(4))]
        return {text(8): anything(depth - 1) for _ in range(randomness.randrange(4))}

    def mutated(value: bytes) -> bytes:
        found = bytearray(value)
        for _ in range(randomness.randrange(1, 6)):
            place = randomness.randrange(len(found) + 1)
            match randomness.randrange(3):
                case 0:
                    found[place : place + 1] = randomness.randbytes(randomness.randrange(3))
                case 1:
                    del found[place : place + randomness.randrange(20)]
                case _:
                    found[place:place] = found[place : place + 30]
        return bytes(found)

    def value() -> bytes | None:
        fields = GOOD | {"subject": text(20), "issuer": text(20), "body": text(50), "target": "/fuzz"}
        match randomness.randrange(6):
            case 0:
                return randomness.choice([None, randomness.randbytes(randomness.randrange(200))])
            case 1:
                return json.dumps(fields).encode()
            case 2:
                return json.dumps(anything()).encode()
            case 3:
                return json.dumps(fields | {randomness.choice(list(fields)): anything()}).encode()
            case 4:
                more = {"headers": anything(), "idempotency_key": text(10), "body_base64": text(5)}
                return json.dumps(fields | {name: more[name] for name in randomness.sample(list(more), 2)}).encode()
            case _:
                return mutated(json.dumps(fields).encode())

    def headers() -> Headers:
        found = [OURS] if randomness.random() < 0.9 else []
        if randomness.random() < 0.2:
            job = randomness.choice([NO_VALUE, randomness.randbytes(5), randomness.choice(job_ids).encode()])
            found.append((JOB, job))
        if randomness.random() < 0.2:
            found.append((randomness.choice([VERSION, JOB, "äé"]), randomness.choice([NO_VALUE, b"", b"1", b"\xff"])))
        return found

    return lambda: (randomness.randbytes(randomness.randrange(20)), value(), headers())


async def test_two_thousand_random_messages_stop_nothing(kafka: Kafka) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    topic = kafka.settings.kafka_topic
    message = random_messages(random.Random(seed), [new_job_id(0) for _ in range(5)])
    async with raw_producer(kafka.settings) as producer:
        for _ in range(2000):
            key, value, headers = message()
            await producer.send(topic, value, key=key, headers=headers, partition=0)
        await good(kafka, producer)
    async with kafka.intake() as running:
        await runs(kafka)
        assert not running.done()
    outcomes = {name: kafka.intake_count(name) for name in ("resident", "spilled", "skipped", "refused")}
    print(outcomes)
    assert sum(outcomes.values()) >= 2001
    assert outcomes["resident"] + outcomes["spilled"] > 50, "some of them are jobs"
    assert outcomes["refused"] > 500, "and many are not"
