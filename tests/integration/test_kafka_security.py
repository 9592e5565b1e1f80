"""A broker that requires TLS and a password: the settings are used, and wrong ones are reported in time."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import KafkaError
from cryptography import x509

from app.errors import QueueUnavailable
from app.process.lifecycle import cancel
from app.queue.kafka.clients import kafka_consumer, kafka_producer
from app.queue.kafka.producer import Producer
from app.queue.kafka.topics import prepare_topics
from app.settings import Settings
from tests.support.authority import Authority
from tests.support.broker import own_broker, with_kafka
from tests.support.ports import free_port
from tests.support.waiting import eventually

USER, PASSWORD = "penstock", "right"

PROPERTIES = """
listeners=PLAINTEXT://127.0.0.1:{plain},SECURE://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{plain},SECURE://localhost:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SECURE:SASL_SSL,CONTROLLER:PLAINTEXT
controller.quorum.voters=1@127.0.0.1:{controller}
inter.broker.listener.name=PLAINTEXT
listener.name.secure.ssl.keystore.type=PEM
listener.name.secure.ssl.keystore.location={pem}
listener.name.secure.sasl.enabled.mechanisms=PLAIN
listener.name.secure.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
user_{user}="{password}";
"""


@dataclass(frozen=True)
class Secured:
    port: int
    authority: Authority
    folder: Path

    def settings(self, settings: Settings, **changed: Any) -> Settings:  # noqa: ANN401
        security = {
            "kafka_security": "SASL_SSL",
            "kafka_username": USER,
            "kafka_password": PASSWORD,
            "kafka_ca_file": self.authority.file,
        }
        return with_kafka(settings, f"localhost:{self.port}").model_copy(update=security | changed)


pytestmark = [pytest.mark.kafka, pytest.mark.xdist_group("kafka-security")]


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    authority, port = Authority(folder, "ours"), free_port()
    authority.server(x509.DNSName("localhost"))

    def more(plain: int, controller: int) -> str:
        names = {"plain": plain, "port": port, "controller": controller, "pem": authority.server_file}
        return PROPERTIES.format(**names, user=USER, password=PASSWORD)

    with own_broker(folder / "broker", more):
        yield Secured(port, authority, folder)


async def test_a_message_is_produced_and_read_over_tls_with_a_password(settings: Settings, secured: Secured) -> None:
    secured_settings = secured.settings(settings)
    async with asyncio.timeout(60):
        assert await prepare_topics(secured_settings) > 0
        producer, consumer = kafka_producer(secured_settings), kafka_consumer(secured_settings)
        consumer.subscribe([secured_settings.kafka_topic])
        await producer.start()
        await producer.send_and_wait(secured_settings.kafka_topic, b"hello", key=b"flow")
        await consumer.start()
        assert (await consumer.getone()).value == b"hello"
        await consumer.stop()
        await producer.stop()


@pytest.mark.parametrize("wrong", ["password", "authority"])
async def test_a_wrong_password_or_authority_is_refused(settings: Settings, secured: Secured, wrong: str) -> None:
    changed: dict[str, Any] = {"kafka_password": "wrong"}
    if wrong == "authority":
        changed = {"kafka_ca_file": Authority(secured.folder, "other").file}
    secured_settings = secured.settings(settings, **changed)
    producer = kafka_producer(secured_settings)
    with pytest.raises(KafkaError):
        async with asyncio.timeout(60):
            await producer.start()
    await producer.stop()


async def test_a_producer_with_a_wrong_password_reports_that_the_queue_is_unavailable(
    settings: Settings, secured: Secured, capsys: pytest.CaptureFixture[str]
) -> None:
    producer = Producer(secured.settings(settings, kafka_password="wrong"))
    running = asyncio.create_task(producer.run())

    async def logged() -> bool:
        return "kafka_unavailable" in capsys.readouterr().out

    await eventually(logged, 60, "the log says that Kafka cannot be reached")
    assert not producer.is_ready
    with pytest.raises(QueueUnavailable, match="Kafka cannot be reached"):
        await producer.produce("jobs", b"flow", b"{}", [])
    await cancel([running])


async def test_a_connection_without_tls_is_refused(settings: Settings, secured: Secured) -> None:
    producer = kafka_producer(secured.settings(settings, kafka_security="SASL_PLAINTEXT"))
    with pytest.raises(KafkaError):
        async with asyncio.timeout(60):
            await producer.start()
    await producer.stop()
