"""Makes every client of Redis, MongoDB and HTTP; a broker's package makes its own. The caller closes what it gets."""

import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any

import httpx
from motor.motor_asyncio import (
    AsyncIOMotorChangeStream,
    AsyncIOMotorClient,
    AsyncIOMotorClientSession,
    AsyncIOMotorDatabase,
)
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError

from app.errors import CountersUnavailable, QueueUnavailable, StartupError
from app.http1.client.pool import ClientTimeouts, ConnectionPool
from app.redis_wire.address import RedisAddress
from app.redis_wire.node import Node
from app.redis_wire.scripts import Scripts
from app.settings import Settings

MongoClient = AsyncIOMotorClient[Any]
MongoDatabase = AsyncIOMotorDatabase[Any]
MongoChangeStream = AsyncIOMotorChangeStream[Any]
MongoSession = AsyncIOMotorClientSession
"""The types of the MongoDB driver. Other modules import these names, so that only this module depends on Motor."""


def cache_redis(settings: Settings) -> Redis:
    """Make a client of the cache Redis, which holds rules and counters. Replies are bytes."""
    return _redis(settings.cache_redis_url, settings.cache_timeout_ms / 1000)


def queue_redis(settings: Settings) -> Redis:
    """Make a client of the queue Redis, which holds flows and job records. Replies are bytes."""
    return _redis(settings.queue_redis_url, settings.queue_timeout_ms / 1000)


def counter_scripts(settings: Settings, timeout_ms: float) -> Scripts:
    """Make a runner of the limiter's scripts on the cache Redis. Its calls raise CountersUnavailable."""
    return Scripts(
        Node(RedisAddress.parse(settings.cache_redis_url), timeout_ms / 1000, CountersUnavailable), "app.limiter"
    )


def queue_scripts(settings: Settings) -> Scripts:
    """Make a runner of the queue's scripts on the queue Redis. Its calls raise QueueUnavailable."""
    timeout_s = settings.queue_timeout_ms / 1000
    return Scripts(Node(RedisAddress.parse(settings.queue_redis_url), timeout_s, QueueUnavailable), "app.queue")


def _redis(url: str, timeout_s: float) -> Redis:
    # The pool is a blocking one, because redis-py's default pool raises under load instead of waiting for a connection.
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=64,
        timeout=timeout_s,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        health_check_interval=0,
    )
    pool.connection_class = _with_connection_errors(pool.connection_class)
    return Redis.from_pool(pool)


def _with_connection_errors(connection_class: type[AbstractConnection]) -> type[AbstractConnection]:
    """Make redis-py treat a write to a closed connection as a connection error. uvloop raises RuntimeError for it."""

    class UvloopConnection(connection_class):  # type: ignore[misc, valid-type]
        async def send_packed_command(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - as redis-py declares it
            try:
                await super().send_packed_command(*args, **options)
            except RuntimeError as error:
                raise RedisConnectionError(f"The connection is closed: {error}") from error

    return UvloopConnection


def mongodb(settings: Settings, call_timeout_s: float | None = None) -> MongoClient:
    """Make a client of the rules database. `call_timeout_s` bounds every call, even when MongoDB hangs."""
    return mongo_client(settings.mongodb_url, call_timeout_s=call_timeout_s)


def mongo_client(
    url: str, *, server_selection_timeout_s: float = 3.0, call_timeout_s: float | None = None
) -> MongoClient:
    """Make a client of MongoDB at `url`. Times that it reads are aware, in UTC.

    Dates and texts that Python cannot hold are read as something else, and do not make a whole answer unreadable.
    """
    options: dict[str, Any] = {
        "datetime_conversion": "DATETIME_AUTO",
        "unicode_decode_error_handler": "replace",
    }
    options |= {} if call_timeout_s is None else {"timeoutMS": int(call_timeout_s * 1000)}
    selection_timeout_ms = int(server_selection_timeout_s * 1000)
    return AsyncIOMotorClient(url, tz_aware=True, serverSelectionTimeoutMS=selection_timeout_ms, **options)


def http_client(timeout_s: float = 5.0) -> httpx.AsyncClient:
    """Make a client for small requests, such as the one for the issuer's keys.

    It keeps no cookies, follows no redirects and ignores proxies that the environment names. Certificates are verified
    by the system's authorities. `timeout_s` bounds each step (connecting, one read), not the whole request.
    """
    no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=()))
    tls = ssl.create_default_context()
    return httpx.AsyncClient(timeout=timeout_s, cookies=no_cookies, verify=tls, trust_env=False, follow_redirects=False)


def upstream_pools(settings: Settings) -> list[ConnectionPool]:
    """Make a connection pool for each app server. None is open yet. Raises StartupError."""
    timeouts = ClientTimeouts(
        connect_s=settings.upstream_connect_timeout_s,
        read_s=settings.upstream_read_timeout_s,
        keep_alive_s=settings.upstream_keep_alive_s,
    )
    tls = _tls(settings.upstream_ca_file) if any(url.scheme == "https" for url in settings.upstreams) else None
    return [
        ConnectionPool(address, timeouts, settings.upstream_idle_connections, tls) for address in settings.upstreams
    ]


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    """Make a context that verifies certificates and names by the system's authorities and those of `ca_file`."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:
            raise StartupError(f"PENSTOCK_UPSTREAM_CA_FILE: {ca_file} holds no certificates: {error}") from error
    return context


@dataclass(frozen=True, slots=True)
class Clients:
    """The clients that an edge and an admin process have. `counter_scripts` runs on the cache Redis."""

    cache: Redis
    queue: Redis
    counter_scripts: Scripts
    queue_scripts: Scripts
    http: httpx.AsyncClient


@asynccontextmanager
async def open_clients(settings: Settings, counters_timeout_ms: float) -> AsyncIterator[Clients]:
    """Make the clients, and close them in the end. A client connects when it is first used."""
    clients = Clients(
        cache=cache_redis(settings),
        queue=queue_redis(settings),
        counter_scripts=counter_scripts(settings, counters_timeout_ms),
        queue_scripts=queue_scripts(settings),
        http=http_client(),
    )
    async with AsyncExitStack() as stack:
        for client in (clients.cache, clients.queue, clients.http, clients.counter_scripts, clients.queue_scripts):
            stack.push_async_callback(client.aclose)
        yield clients
