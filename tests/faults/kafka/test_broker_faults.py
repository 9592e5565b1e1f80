"""The broker is killed, or hangs, under traffic: accepted jobs are sent, and refused ones never are."""

import asyncio
import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiokafka import AIOKafkaProducer
from redis.asyncio import Redis

from app.errors import QueueUnavailable
from app.jobs.model import JobStatus
from app.process.lifecycle import cancel
from app.queue.kafka.clients import kafka_producer
from app.queue.kafka.producer import Producer
from app.queue.kafka.queue import KafkaQueue
from app.settings import Settings
from tests.support.account import account
from tests.support.broker import Broker, own_broker, with_kafka
from tests.support.flow_steps import deferral
from tests.support.kafka_in_process import kafka_parts
from tests.support.ledger import Client, Ledger
from tests.support.ports import free_port
from tests.support.system import System, running
from tests.support.waiting import eventually, forever

KILLS = int(os.environ.get("PENSTOCK_TEST_BROKER_KILLS", "5"))
USERS = [f"user{number}" for number in range(4)]
RATE = 20
QUICK: Any = {"PENSTOCK_KAFKA_TIMEOUT_MS": "1000"}
RULE: dict[str, Any] = {
    "key_type": "user",
    "key_value": "*",
    "limit": 1,
    "window_seconds": 36_000,
    "on_limit": "defer",
    "drain": {"limit": RATE, "window_seconds": 1},
    "queue": {"max_depth": 100_000},
}


pytestmark = [pytest.mark.kafka, pytest.mark.xdist_group("broker-faults")]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with own_broker(tmp_path_factory.mktemp("broker")) as broker:
        yield broker


async def begun(system: System, *users: str) -> None:
    """Wait until the rule is in force."""
    await system.put_rule("r", **RULE)
    await system.rule_is_known("r", users[0])


async def test_no_accepted_job_is_lost_when_the_broker_is_killed(
    settings: Settings, tmp_path: Path, broker: Broker
) -> None:
    async with running(
        with_kafka(settings, broker.bootstrap), tmp_path, edges=2, workers=2, record_slots=True, **QUICK
    ) as system:
        await begun(system, *USERS)
        ledger, over = Ledger(tmp_path / "promises.jsonl"), asyncio.Event()
        clients = [Client(system, user, ledger) for user in USERS]
        sending = asyncio.gather(*(send_until(over, client) for client in clients))

        def all_have_begun() -> bool:
            return {entry["user"] for entry in ledger.read()} == set(USERS)

        await eventually(all_have_begun, 60, "each user is over the limit")
        for _ in range(KILLS):
            await asyncio.sleep(random.uniform(0.3, 0.8))
            broker.kill()
            await forwarding_goes_on(system)
            broker.restart()
            await broker.answers()
        before = len(ledger.read())
        await eventually(lambda: grown(ledger, before + 20), 60, "jobs are accepted again")
        over.set()
        await sending
        found = await account(system, ledger)
    refused = sum((client.refused for client in clients), Counter())
    print(f"{KILLS} kills: {len(found.promised)} promised, none lost; {found.duplicates} sent twice; {dict(refused)}")
    assert found.statuses.keys() == {"succeeded"}
    assert refused[503] > 0, "the broker was not there"
    assert found.duplicates == 0, "no worker was killed"
    found.assert_order()
    found.assert_slots(system, RATE, 1)


async def forwarding_goes_on(system: System) -> None:
    """Requests within their limit are forwarded while deferring is answered 503."""
    answer = await system.request("POST", "/user0/0", "user0")
    assert (answer.status, "Retry-After" in answer.headers) == (503, True)
    new = f"new{random.getrandbits(32):x}"
    assert (await system.request("GET", "/", new)).status == 200


async def send_until(over: asyncio.Event, client: Client) -> None:
    number = 0
    while not over.is_set():
        await client.send(number)
        number += 1
        await asyncio.sleep(1.2 / RATE)


async def grown(ledger: Ledger, length: int) -> bool:
    return len(ledger.read()) >= length


async def test_the_status_says_that_the_broker_is_away_and_waits_for_nothing(
    settings: Settings, tmp_path: Path, broker: Broker
) -> None:
    async with running(with_kafka(settings, broker.bootstrap), tmp_path, workers=2, **QUICK) as system:
        await begun(system, USERS[0])
        port = free_port()
        await system.ready(system.spawn("admin", "--port", str(port)))
        viewer = system.issuer.token("ops", aud="penstock-admin", penstock_role="viewer")

        async def status() -> dict[str, Any]:
            url, authorization = f"http://127.0.0.1:{port}/v1/status", {"Authorization": f"Bearer {viewer}"}
            async with aiohttp.ClientSession(headers=authorization) as http, http.get(url) as answer:
                found: dict[str, Any] = await answer.json()
                return found

        async def kafka_is(reachable: bool, lag: int | None) -> bool:
            stores = {store["store"]: store for store in (await status())["stores"]}
            if "kafka" not in stores:
                return False
            [topic] = stores["kafka"]["topics"]
            return (stores["kafka"]["reachable"], topic["lag"]) == (reachable, lag)

        await eventually(lambda: kafka_is(True, 0), 30, "it is reached, and nothing waits")
        for fault, end in ((broker.kill, broker.restart), (broker.stop, broker.go_on)):
            fault()
            try:
                await eventually(lambda: kafka_is(False, None), 60, "it is said to be away")
                found = await status()
            finally:
                end()
            assert [one["text"] for one in found["problems"] if "kafka: no worker can reach it" in one["text"]]
            assert all(store["reachable"] for store in found["stores"] if store["store"] != "kafka")
            assert not [one for one in found["processes"] if one["silent"]], "heartbeats go on"
            await eventually(lambda: kafka_is(True, 0), 60, "it is reached again")


async def test_a_request_refused_while_the_broker_hung_is_never_sent(
    settings: Settings, tmp_path: Path, broker: Broker
) -> None:
    """SIGSTOP in the middle of traffic hits some requests before their message is appended, and some after."""
    answers: dict[str, int] = {}
    async with running(with_kafka(settings, broker.bootstrap), tmp_path, edges=2, workers=1, **QUICK) as system:
        await begun(system, *USERS)
        await Client(system, USERS[0], Ledger(tmp_path / "first.jsonl")).send(0, "/first/0")

        async def send(number: int) -> None:
            await asyncio.sleep(number / 1000)
            user = USERS[number % len(USERS)]
            answer = await system.request("POST", f"/{number}", user, headers={"Connection": "close"})
            answers[f"/{number}"] = answer.status

        for first in range(0, 120, 40):
            sending = asyncio.gather(*(send(first + number) for number in range(40)))
            await asyncio.sleep(0.03 + first / 1000)
            broker.stop()
            try:
                await sending
            finally:
                broker.go_on()
            await asyncio.sleep(2)  # the intake reads what was appended all the same
        promised = {target for target, status in answers.items() if status in {200, 202}}

        async def all_arrived() -> bool:
            return promised <= {arrival["target"] for arrival in await system.arrivals()}

        await eventually(all_arrived, 60, "all accepted requests arrive")
        await asyncio.sleep(2)
        arrived = Counter(arrival["target"] for arrival in await system.arrivals())
    statuses = Counter(answers.values())
    print(f"broker hung three times: {dict(statuses)}")
    assert statuses.keys() <= {200, 202, 503}
    assert statuses[503] > 0
    refused = {target for target, status in answers.items() if status == 503}
    assert not refused & arrived.keys(), "a client was told that its request was not accepted"
    assert set(arrived.values()) == {1}


class LosingAcknowledgements(AIOKafkaProducer):  # type: ignore[misc]
    """A producer whose messages are appended before the broker hangs and does not acknowledge them."""

    broker: Broker

    async def send_and_wait(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401
        await super().send_and_wait(*arguments, **options)
        self.broker.stop()
        await forever()


async def test_a_job_whose_append_was_not_acknowledged_is_never_sent(
    settings: Settings, cache: Redis, queue: Redis, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasty = with_kafka(settings, broker.bootstrap).model_copy(update={"kafka_timeout_ms": 1000.0})

    def losing(settings: Settings) -> AIOKafkaProducer:
        monkeypatch.setattr("app.queue.kafka.clients.AIOKafkaProducer", LosingAcknowledgements)
        LosingAcknowledgements.broker = broker
        try:
            return kafka_producer(settings)
        finally:
            monkeypatch.undo()

    async with kafka_parts(hasty, cache, queue) as kafka:
        await kafka.publish_rule()
        unlucky = KafkaQueue(kafka.flows, kafka.staging, Producer(hasty, losing), hasty)
        keeping = asyncio.create_task(unlucky.run())
        try:
            await eventually(lambda: ready(unlucky), 30, "it is connected to Kafka")
            with pytest.raises(QueueUnavailable):
                await unlucky.enqueue(deferral(0, idempotency_key="k"))
        finally:
            broker.go_on()
            await cancel({keeping})
        [message] = await kafka.written(hasty.kafka_topic, 1)
        job_id = dict(message.headers)["penstock-job"].decode()
        assert (await kafka.job(job_id)).status is JobStatus.CANCELED, "its message was appended"
        async with kafka.intake():
            await eventually(lambda: is_one(kafka.intake_count("skipped")), 30, "its message is skipped")
        assert (await kafka.flows.take(0, 10, 1000))[1] == []


async def ready(queue: KafkaQueue) -> bool:
    return queue._producer.is_ready


async def is_one(count: float) -> bool:
    return count == 1
