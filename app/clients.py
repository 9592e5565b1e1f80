"""The only place that makes clients of Redis, MongoDB, Kafka and HTTP. The caller closes what it gets."""

from types import SimpleNamespace
from typing import Any

import aiohttp
from motor.motor_asyncio import AsyncIOMotorClient
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError

from app.settings import Settings

MongoClient = AsyncIOMotorClient[Any]


def cache_redis(settings: Settings) -> Redis:
    """The cache Redis: rules and counters. Answers are bytes."""
    return _redis(settings.cache_redis_url, settings.cache_timeout_ms / 1000)


def queue_redis(settings: Settings) -> Redis:
    """The queue Redis: flows and job records. Answers are bytes."""
    return _redis(settings.queue_redis_url, settings.queue_timeout_ms / 1000)


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


def mongodb(settings: Settings, deadline_s: float | None = None) -> MongoClient:
    """The rules database; times carry UTC. `deadline_s`: how long a call may take, if MongoDB hangs too."""
    more: dict[str, Any] = {} if deadline_s is None else {"timeoutMS": int(deadline_s * 1000)}
    return AsyncIOMotorClient(settings.mongodb_url, tz_aware=True, serverSelectionTimeoutMS=3000, **more)


def http_session(settings: Settings, *, announce_sent: bool = False) -> aiohttp.ClientSession:
    """A client for the app servers: streams, changes no header, follows no redirect, decodes nothing.

    `announce_sent`: a request's `trace_request_ctx` is called once its head is on its way.
    """
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=30),
        timeout=aiohttp.ClientTimeout(
            total=None, sock_connect=settings.upstream_connect_timeout_s, sock_read=settings.upstream_read_timeout_s
        ),
        auto_decompress=False,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        cookie_jar=aiohttp.DummyCookieJar(),
        trace_configs=[_announcing()] if announce_sent else None,
    )
    # aiohttp sends an idempotent request again by itself when the connection ends: that would be two for one slot.
    session._retry_connection = False
    return session


def _announcing() -> aiohttp.TraceConfig:
    async def on_head_sent(_: aiohttp.ClientSession, context: SimpleNamespace, __: object) -> None:
        if context.trace_request_ctx is not None:
            context.trace_request_ctx()

    config = aiohttp.TraceConfig()
    config.on_request_headers_sent.append(on_head_sent)
    return config
