"""The only place that makes clients of Redis, MongoDB, Kafka and HTTP. The caller closes what it gets."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import aiohttp
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.helpers import create_ssl_context
from motor.motor_asyncio import AsyncIOMotorChangeStream, AsyncIOMotorClient, AsyncIOMotorDatabase
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError

from app.errors import CountersUnavailable, QueueUnavailable, StartupError
from app.http1.client.pool import ClientTimeouts, Pool
from app.redis_wire.address import RedisAddress
from app.redis_wire.node import Node
from app.redis_wire.scripts import Scripts
from app.settings import Settings

MongoClient = AsyncIOMotorClient[Any]
MongoDatabase = AsyncIOMotorDatabase[Any]
MongoChangeStream = AsyncIOMotorChangeStream[Any]
"""The types of the MongoDB driver. Other modules import these names, so that only this module depends on Motor."""


def cache_redis(settings: Settings) -> Redis:
    """The cache Redis: rules and counters. Answers are bytes."""
    return _redis(settings.cache_redis_url, settings.cache_timeout_ms / 1000)


def queue_redis(settings: Settings) -> Redis:
    """The queue Redis: flows and job records. Answers are bytes."""
    return _redis(settings.queue_redis_url, settings.queue_timeout_ms / 1000)


def counter_scripts(settings: Settings, timeout_ms: float) -> Scripts:
    """What counts, on the cache Redis; how long it may take is the caller's to say. Raises CountersUnavailable."""
    return Scripts(
        Node(RedisAddress.parse(settings.cache_redis_url), timeout_ms / 1000, CountersUnavailable), "app.limiter"
    )


def queue_scripts(settings: Settings) -> Scripts:
    """The transitions of jobs, on the queue Redis. Raises QueueUnavailable."""
    timeout_s = settings.queue_timeout_ms / 1000
    return Scripts(Node(RedisAddress.parse(settings.queue_redis_url), timeout_s, QueueUnavailable), "app.queue")


def _redis(url: str, timeout_s: float) -> Redis:
    # A blocking pool: redis-py's default pool raises under load instead of waiting for a connection.
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=64,
        timeout=timeout_s,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        health_check_interval=0,
    )
    pool.connection_class = _naming_its_end(pool.connection_class)
    return Redis.from_pool(pool)


def _naming_its_end(connection_class: type[AbstractConnection]) -> type[AbstractConnection]:
    """uvloop has a RuntimeError for writing to a connection that the other side has closed; redis-py knows none."""

    class Connection(connection_class):  # type: ignore[misc, valid-type]
        async def send_packed_command(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - redis-py's
            try:
                await super().send_packed_command(*args, **options)
            except RuntimeError as error:
                raise RedisConnectionError(f"The connection is closed: {error}") from error

    return Connection


def mongodb(settings: Settings, call_timeout_s: float | None = None) -> MongoClient:
    """Make a client of the rules database. `call_timeout_s` bounds every call, even when MongoDB hangs."""
    return mongo_client(settings.mongodb_url, call_timeout_s=call_timeout_s)


def mongo_client(
    url: str, *, server_selection_timeout_s: float = 3.0, call_timeout_s: float | None = None
) -> MongoClient:
    """Make a client of MongoDB at `url`. Times that it reads are aware, in UTC."""
    options: dict[str, Any] = {} if call_timeout_s is None else {"timeoutMS": int(call_timeout_s * 1000)}
    selection_timeout_ms = int(server_selection_timeout_s * 1000)
    return AsyncIOMotorClient(url, tz_aware=True, serverSelectionTimeoutMS=selection_timeout_ms, **options)


def http_session() -> aiohttp.ClientSession:
    """A client for the issuer's keys."""
    return aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())


KAFKA_STOPS_WITHIN_S = 2.0
KAFKA_SESSION_MS = 6000
"""After how long an intake that says nothing is held for dead."""

HEADERS_BYTES = 256 << 10
"""What of a message may come on top of a request's body."""


def kafka_producer(settings: Settings) -> AIOKafkaProducer:
    """Acknowledged by all replicas, each message once. It knows no end of trying: the caller must."""
    return AIOKafkaProducer(
        **_kafka(settings),
        acks="all",
        enable_idempotence=True,
        max_request_size=max_message_bytes(settings),
    )


def kafka_consumer(settings: Settings) -> AIOKafkaConsumer:
    """A member of the intake's group. What it has read counts once it is committed."""
    return AIOKafkaConsumer(
        **_kafka(settings),
        group_id=settings.kafka_group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",  # a group that is new begins with what is there
        session_timeout_ms=KAFKA_SESSION_MS,
        heartbeat_interval_ms=500,  # and so how soon others learn that one came or went
        rebalance_timeout_ms=KAFKA_SESSION_MS,
        fetch_max_bytes=16 << 20,
    )


def kafka_reader(settings: Settings) -> AIOKafkaConsumer:
    """Reads any message by its place; of no group."""
    return AIOKafkaConsumer(
        **_kafka(settings), enable_auto_commit=False, auto_offset_reset="none", fetch_max_bytes=16 << 20
    )


def kafka_admin(settings: Settings) -> AIOKafkaAdminClient:
    """For topics and their settings."""
    return AIOKafkaAdminClient(**_kafka(settings))


async def close_kafka(client: AIOKafkaConsumer | AIOKafkaProducer) -> None:
    """Stop it, which takes a consumer out of its group, whether or not the caller is cancelled meanwhile.

    Not for ever: where its broker went away aiokafka may wait for an answer that never comes.
    """
    loop = asyncio.get_running_loop()
    stopping, until_s, cancelled = loop.create_task(client.stop()), loop.time() + KAFKA_STOPS_WITHIN_S, False
    while not stopping.done() and loop.time() < until_s:
        try:
            await asyncio.wait({stopping}, timeout=until_s - loop.time())
        except asyncio.CancelledError:
            cancelled = True
    stopping.cancel()
    _, late = await asyncio.wait({stopping}, timeout=KAFKA_STOPS_WITHIN_S)
    if not late and not stopping.cancelled():
        stopping.exception()  # it was on its way out anyway
    else:
        _sever(client)
    if cancelled:
        raise asyncio.CancelledError


def _sever(client: AIOKafkaConsumer | AIOKafkaProducer) -> None:
    """What a client that did not stop in time has open; aiokafka has no public word for that."""
    beneath = client.client if isinstance(client, AIOKafkaProducer) else client._client
    for connection in list(beneath._conns.values()):
        connection.close()


def max_message_bytes(settings: Settings) -> int:
    """The largest message there may be."""
    return settings.max_deferred_body_bytes + HEADERS_BYTES


def _kafka(settings: Settings) -> dict[str, Any]:
    return {
        "bootstrap_servers": list(settings.kafka_bootstrap),
        "client_id": "penstock",
        "request_timeout_ms": int(settings.kafka_timeout_ms),
        "security_protocol": settings.kafka_security,
        "ssl_context": _kafka_tls(settings),
        "sasl_mechanism": settings.kafka_sasl_mechanism,
        "sasl_plain_username": settings.kafka_username,
        "sasl_plain_password": settings.kafka_password,
    }


def _kafka_tls(settings: Settings) -> ssl.SSLContext | None:
    if not settings.kafka_security.endswith("SSL"):
        return None
    files = (settings.kafka_ca_file, settings.kafka_cert_file, settings.kafka_key_file)
    ca, cert, key = (str(file) if file else None for file in files)
    context: ssl.SSLContext = create_ssl_context(cafile=ca, certfile=cert, keyfile=key)
    return context


def upstream_pools(settings: Settings) -> list[Pool]:
    """Connections to each of the app servers, none open yet. Raises StartupError."""
    timeouts = ClientTimeouts(
        connect_s=settings.upstream_connect_timeout_s,
        read_s=settings.upstream_read_timeout_s,
        keep_s=settings.upstream_keep_alive_s,
        most_idle=settings.upstream_idle_connections,
    )
    tls = _tls(settings.upstream_ca_file) if any(url.scheme == "https" for url in settings.upstreams) else None
    return [Pool(address, timeouts, tls) for address in settings.upstreams]


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    """Certificates and names are verified, by the system's authorities and those of `ca_file`."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:
            raise StartupError(f"PENSTOCK_UPSTREAM_CA_FILE: {ca_file} holds no certificates: {error}") from error
    return context
