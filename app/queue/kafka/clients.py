"""Makes every Kafka client. The caller starts what it gets, and closes it."""

import asyncio
import ssl
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.helpers import create_ssl_context

from app.settings import Settings

STOP_TIMEOUT_S = 2.0
SESSION_TIMEOUT_MS = 6000
"""How long a member of the consumer group may be silent before its partitions go to other members."""

HEARTBEAT_INTERVAL_MS = 500
"""How soon members learn that another joined or left the group."""

FETCH_MAX_BYTES = 16 << 20
HEADERS_BYTES = 256 << 10
"""How much a message may hold beside a request's body."""


def kafka_producer(settings: Settings) -> AIOKafkaProducer:
    """An idempotent producer whose messages are acknowledged by all replicas.

    It retries without end, so the caller must set a deadline.
    """
    return AIOKafkaProducer(
        **_connection(settings),
        acks="all",
        enable_idempotence=True,
        max_request_size=max_message_bytes(settings),
    )


def kafka_consumer(settings: Settings) -> AIOKafkaConsumer:
    """A member of the intake's consumer group, which commits offsets itself.

    A new group starts with the oldest message that the topic has.
    """
    return AIOKafkaConsumer(
        **_connection(settings),
        group_id=settings.kafka_group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=SESSION_TIMEOUT_MS,
        heartbeat_interval_ms=HEARTBEAT_INTERVAL_MS,
        rebalance_timeout_ms=SESSION_TIMEOUT_MS,
        fetch_max_bytes=FETCH_MAX_BYTES,
    )


def kafka_reader(settings: Settings) -> AIOKafkaConsumer:
    """A consumer outside of any group, which reads messages by partition and offset."""
    return AIOKafkaConsumer(
        **_connection(settings), enable_auto_commit=False, auto_offset_reset="none", fetch_max_bytes=FETCH_MAX_BYTES
    )


def kafka_admin(settings: Settings) -> AIOKafkaAdminClient:
    """A client that creates topics and reads their configuration."""
    return AIOKafkaAdminClient(**_connection(settings))


async def close_kafka(client: AIOKafkaConsumer | AIOKafkaProducer) -> None:
    """Stop a client, even when the caller is cancelled meanwhile; a consumer leaves its group.

    aiokafka may wait without end for a broker that went away: after `STOP_TIMEOUT_S` the client's connections are
    closed instead.
    """
    loop = asyncio.get_running_loop()
    stopping, deadline_s, cancelled = loop.create_task(client.stop()), loop.time() + STOP_TIMEOUT_S, False
    while not stopping.done() and loop.time() < deadline_s:
        try:
            await asyncio.wait({stopping}, timeout=deadline_s - loop.time())
        except asyncio.CancelledError:
            cancelled = True
    stopping.cancel()
    _, unfinished = await asyncio.wait({stopping}, timeout=STOP_TIMEOUT_S)
    if not unfinished and not stopping.cancelled():
        stopping.exception()  # retrieved so that asyncio does not log it: the client is discarded in any case
    else:
        _close_connections(client)
    if cancelled:
        raise asyncio.CancelledError


def _close_connections(client: AIOKafkaConsumer | AIOKafkaProducer) -> None:
    """Close the connections of a client that did not stop in time. aiokafka has no public method for this."""
    network_client = client.client if isinstance(client, AIOKafkaProducer) else client._client
    for connection in list(network_client._conns.values()):
        connection.close()


def max_message_bytes(settings: Settings) -> int:
    """The size of the largest message that an edge may produce."""
    return settings.max_deferred_body_bytes + HEADERS_BYTES


def _connection(settings: Settings) -> dict[str, Any]:
    return {
        "bootstrap_servers": list(settings.kafka_bootstrap),
        "client_id": "penstock",
        "request_timeout_ms": int(settings.kafka_timeout_ms),
        "security_protocol": settings.kafka_security,
        "ssl_context": _tls_context(settings),
        "sasl_mechanism": settings.kafka_sasl_mechanism,
        "sasl_plain_username": settings.kafka_username,
        "sasl_plain_password": settings.kafka_password,
    }


def _tls_context(settings: Settings) -> ssl.SSLContext | None:
    if not settings.kafka_security.endswith("SSL"):
        return None
    files = (settings.kafka_ca_file, settings.kafka_cert_file, settings.kafka_key_file)
    ca, cert, key = (str(file) if file else None for file in files)
    context: ssl.SSLContext = create_ssl_context(cafile=ca, certfile=cert, keyfile=key)
    return context
