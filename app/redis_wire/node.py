"""The connection of a process to one Redis server: opened by the first call, and reopened whenever it is lost."""

import asyncio
import random
from collections.abc import Callable
from typing import Protocol

import structlog
from redis.exceptions import RedisError

from app.errors import Unavailable
from app.redis_wire.address import RedisAddress
from app.redis_wire.connection import MAX_PENDING, FutureReply, RedisConnection

log = structlog.get_logger()

CONNECT_TIMEOUT_S = 1.0
MIN_BACKOFF_S = 0.05
MAX_BACKOFF_S = 1.0


class Nodes(Protocol):
    """Finds the Redis server that holds a key. With Redis Cluster this would depend on the slot of the key."""

    def node_for(self, key: str) -> "Node":
        """The node that holds this key."""
        ...

    async def aclose(self) -> None:
        """Close all connections."""
        ...


class Node:
    """One Redis server. Implements `Nodes` for a single server.

    A call waits for the first attempt to connect, for at most `timeout_s`. While Redis is unreachable, calls fail at
    once, and attempts to connect go on in the background with exponential backoff. Calls fail with `unavailable`, or
    with redis-py's ResponseError if Redis rejects them.
    """

    def __init__(
        self,
        address: RedisAddress,
        timeout_s: float,
        unavailable: type[Unavailable],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.unavailable = unavailable
        self._address = address
        self._timeout_s = timeout_s
        self._jitter = jitter
        self._connection: RedisConnection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._failures = 0
        self._waiting: list[tuple[bytes, FutureReply]] = []
        self._wait_timer: asyncio.TimerHandle | None = None
        self._closed = False

    def node_for(self, key: str) -> "Node":
        """Implements `Nodes`."""
        return self

    def call(self, command: bytes) -> FutureReply:
        """Send an encoded command, and return a future for its reply. Raises `unavailable` if Redis is unreachable."""
        if self._connection is not None:
            return self._connection.call(command)
        if self._closed or self._failures or len(self._waiting) >= MAX_PENDING:
            raise self.unavailable("Redis: not connected.")
        loop = asyncio.get_running_loop()
        if self._connecting is None:
            self._connecting = loop.create_task(self._connect())
        if self._wait_timer is None:
            self._wait_timer = loop.call_later(self._timeout_s, self._stop_waiting)
        reply: FutureReply = loop.create_future()
        self._waiting.append((command, reply))
        return reply

    async def aclose(self) -> None:
        """Close the connection; calls that wait fail with `unavailable`."""
        self._closed = True
        self._fail_waiting("closed")
        if self._connection is not None:
            self._connection.close(ConnectionError("closed"))
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        await asyncio.sleep(0)  # connection_lost is called in the next iteration of the event loop

    async def _connect(self) -> None:
        while True:
            try:
                async with asyncio.timeout(max(CONNECT_TIMEOUT_S, self._timeout_s)):
                    connection = await self._open()
                break
            except (OSError, TimeoutError, RedisError, Unavailable) as error:
                why = str(error) or type(error).__name__
                log.warning("redis_unreachable", error=why)
                self._failures += 1
                self._fail_waiting(why)
                await asyncio.sleep(self._backoff_s())
        if self._failures:
            log.info("redis_connected", failures=self._failures)
        self._connecting, self._connection, self._failures = None, connection, 0
        self._send_waiting(connection)

    async def _open(self) -> RedisConnection:
        connect_s = max(CONNECT_TIMEOUT_S, self._timeout_s)
        connection = await self._address.connect(lambda: RedisConnection(connect_s, self.unavailable, self._lost))
        try:
            await asyncio.gather(*[connection.call(command) for command in self._address.greeting])
        except BaseException as error:
            connection.close(ConnectionError(str(error)))
            raise
        if connection.is_closed:  # right after it replied to the greeting
            raise ConnectionError("The connection was closed.")
        connection.timeout_s = self._timeout_s
        return connection

    def _lost(self, connection: RedisConnection, reason: Exception) -> None:
        if connection is not self._connection:
            return  # it has not replied to the greeting: `_open` raises
        self._connection = None
        if not self._closed:
            log.warning("redis_connection_lost", error=str(reason) or type(reason).__name__)
            self._connecting = asyncio.get_running_loop().create_task(self._connect())

    def _backoff_s(self) -> float:
        backoff_s: float = min(MAX_BACKOFF_S, MIN_BACKOFF_S * 2 ** min(self._failures - 1, 10))
        return backoff_s * (1 - 0.5 * self._jitter())  # so that many processes do not reconnect at the same moment

    def _send_waiting(self, connection: RedisConnection) -> None:
        for command, reply in self._take_waiting():
            if not reply.done():
                connection.send(command, reply)

    def _stop_waiting(self) -> None:
        """Connecting takes longer than a call may: from now on calls fail at once until it has succeeded."""
        self._failures += 1
        self._fail_waiting("not connected in time", "timeout")

    def _fail_waiting(self, why: str, cause: str = "unreachable") -> None:
        for _, reply in self._take_waiting():
            if not reply.done():
                reply.set_exception(self.unavailable(f"Redis: {why}", cause))

    def _take_waiting(self) -> list[tuple[bytes, FutureReply]]:
        if self._wait_timer is not None:
            self._wait_timer.cancel()
            self._wait_timer = None
        waiting, self._waiting = self._waiting, []
        return waiting
