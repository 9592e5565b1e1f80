"""Counts the edges: each reports to the cache Redis every second, and keeps the number that it saw last."""

import asyncio
import contextlib
import secrets
import time

from redis.asyncio import Redis
from redis.exceptions import RedisError

KEY = "edges"
"""Sorted set: the ids of edges by the time (Unix seconds) of their last heartbeat."""

HEARTBEAT_INTERVAL_S = 1.0
EXPIRES_AFTER_S = 5.0
"""An edge without a heartbeat for so long is no longer counted."""

KEY_TTL_S = 60


class EdgeHeartbeat:
    """This edge's heartbeat; `edges` is the number of edges last seen, this one included."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._id = secrets.token_hex(8)
        self.edges = 1

    async def run(self) -> None:
        """Send heartbeats until cancelled, then remove this edge. While Redis is away the last number stands."""
        try:
            while True:
                with contextlib.suppress(RedisError, OSError, TimeoutError):
                    await self._beat()
                await asyncio.sleep(HEARTBEAT_INTERVAL_S)
        finally:
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                await self._redis.zrem(KEY, self._id)

    async def _beat(self) -> None:
        now = time.time()
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.zadd(KEY, {self._id: now})
        pipeline.zremrangebyscore(KEY, "-inf", now - EXPIRES_AFTER_S)
        pipeline.zcard(KEY)
        pipeline.expire(KEY, KEY_TTL_S)
        _, _, count, _ = await pipeline.execute()
        self.edges = max(1, count)
