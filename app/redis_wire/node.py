"""The one connection to a Redis that a process has: made at the first call, and again whenever it is lost."""

import asyncio
import random
from collections.abc import Callable
from typing import Protocol

import structlog
from redis.exceptions import RedisError

from app.errors import Unavailable
from app.redis_wire.address import RedisAddress
from app.redis_wire.connection import MAX_PENDING, Answer, RedisConnection

log = structlog.get_logger()

CONNECT_TIMEOUT_S = 1.0
FIRST_BACKOFF_S = 0.05
LONGEST_BACKOFF_S = 1.0


class Nodes(Protocol):
    """Which Redis holds a key. One is all there is; on Redis Cluster the key's slot would choose."""

    def of(self, key: str) -> "Node":
        """The node to ask about this key."""
        ...

    async def aclose(self) -> None:
        """End all connections."""
        ...


class Node:
    """One Redis server. Implements `Nodes` for itself alone.

    A call waits for the first attempt to connect, but never for longer than `timeout_s`; while the Redis is away it is
    refused at once. Connecting goes on by itself, one attempt at a time. All errors are `unavailable`, but for what a
    script rejects: that is redis-py's ResponseError.
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
        self._waiting: list[tuple[bytes, Answer]] = []
        self._patience: asyncio.TimerHandle | None = None
        self._closed = False

    def of(self, key: str) -> "Node":
        """This one."""
        return self

    def call(self, command: bytes) -> Answer:
        """Send a command (resp.py); its answer to come. Raises `unavailable` where there is no use in waiting."""
        if self._connection is not None:
            return self._connection.call(command)
        if self._closed or self._failures or len(self._waiting) >= MAX_PENDING:
            raise self.unavailable("Redis: not connected.")
        loop = asyncio.get_running_loop()
        if self._connecting is None:
            self._connecting = loop.create_task(self._connect())
        if self._patience is None:
            self._patience = loop.call_later(self._timeout_s, self._stop_waiting)
        answer: Answer = loop.create_future()
        self._waiting.append((command, answer))
        return answer

    async def aclose(self) -> None:
        """End the connection; whoever waits is refused."""
        self._closed = True
        self._refuse_waiting("closed")
        if self._connection is not None:
            self._connection.close(ConnectionError("closed"))
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        await asyncio.sleep(0)  # until the transport has been told

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
                self._refuse_waiting(why)
                await asyncio.sleep(self._backoff_s())
        self._connecting, self._connection, self._failures = None, connection, 0
        self._send_waiting(connection)

    async def _open(self) -> RedisConnection:
        connect_s = max(CONNECT_TIMEOUT_S, self._timeout_s)
        connection = await self._address.connect(lambda: RedisConnection(connect_s, self.unavailable, self._lost))
        try:
            answers = [connection.call(words) for words in self._address.greeting]
            await asyncio.gather(*answers)
        except BaseException as error:
            connection.close(ConnectionError(str(error)))
            raise
        if connection.is_over:  # since it was greeted
            raise ConnectionError("The connection was closed.")
        connection.timeout_s = self._timeout_s
        return connection

    def _lost(self, connection: RedisConnection, reason: Exception) -> None:
        if connection is not self._connection:
            return  # it had not been greeted: the attempt itself fails
        self._connection = None
        if not self._closed:
            log.warning("redis_connection_lost", error=str(reason) or type(reason).__name__)
            self._connecting = asyncio.get_running_loop().create_task(self._connect())

    def _backoff_s(self) -> float:
        backoff_s: float = min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2 ** min(self._failures - 1, 10))
        return backoff_s * (1 - 0.5 * self._jitter())  # many processes must not come back in step

    def _send_waiting(self, connection: RedisConnection) -> None:
        for command, answer in self._take_waiting():
            if not answer.done():
                connection.send(command, answer)

    def _stop_waiting(self) -> None:
        """The attempt takes longer than a call may: until it ends, nobody else waits for it."""
        self._failures += 1
        self._refuse_waiting("not connected in time")

    def _refuse_waiting(self, why: str) -> None:
        for _, answer in self._take_waiting():
            if not answer.done():
                answer.set_exception(self.unavailable(f"Redis: {why}"))

    def _take_waiting(self) -> list[tuple[bytes, Answer]]:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        waiting, self._waiting = self._waiting, []
        return waiting
