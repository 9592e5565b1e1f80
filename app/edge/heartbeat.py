"""Counts the edges: each reports to the cache Redis every second, and keeps the number that it saw last."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable

from redis.asyncio import Redis
from redis.exceptions import RedisError

KEY = "edges"
"""Sorted set: the ids of edges by the time (Unix seconds) of their last heartbeat."""

HEARTBEAT_INTERVAL_S = 1.0
EXPIRES_AFTER_S = 5.0
"""An edge without a heartbeat for so long is no longer counted."""

KEY_TTL_S = 60


class EdgeHeartbeat:
    """This edge's heartbeat; `edges` is the number of edges last seen, this one included.

    The number becomes smaller only once fewer edges have been seen for EXPIRES_AFTER_S without interruption. After
    Redis was away or has lost its data, the first edge to report finds no other one there, and must not take their
    shares.
    """

    def __init__(self, redis: Redis, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis = redis
        self._clock = clock
        self._id = secrets.token_hex(8)
        self._fewer_since_s: float | None = None
        self.edges = 1

    async def run(self) -> None:
        """Send heartbeats until cancelled, then remove this edge. While Redis is away the last number stands."""
        try:
            while True:
                with contextlib.suppress(RedisError, OSError, TimeoutError):
                    await self.beat()
                await asyncio.sleep(HEARTBEAT_INTERVAL_S)
        finally:
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                await self._redis.zrem(KEY, self._id)

    async def beat(self) -> None:
        """Report this edge, and count the edges that have reported lately. Raises RedisError, OSError, TimeoutError."""
        now = time.time()
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.zadd(KEY, {self._id: now})
        pipeline.zremrangebyscore(KEY, "-inf", now - EXPIRES_AFTER_S)
        pipeline.zcard(KEY)
        pipeline.expire(KEY, KEY_TTL_S)
        fewer_since_s, self._fewer_since_s = self._fewer_since_s, None
        _, _, count, _ = await pipeline.execute()
        now_s = self._clock()
        if count >= self.edges or (fewer_since_s is not None and now_s - fewer_since_s >= EXPIRES_AFTER_S):
            self.edges = max(1, count)
        else:
            self._fewer_since_s = now_s if fewer_since_s is None else fewer_since_s
