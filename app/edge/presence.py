"""How many edges there are: each says so in the cache Redis, and remembers what it saw last."""

import asyncio
import contextlib
import secrets
import time

from redis.asyncio import Redis
from redis.exceptions import RedisError

KEY = "edges"
"""Sorted set: edges by the time (Unix seconds) at which they were last seen."""

POLL_INTERVAL_S = 1.0
GONE_AFTER_S = 5.0


class Presence:
    """One edge among the others."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._name = secrets.token_hex(8)
        self.edges = 1
        """The number of edges last seen, this one included."""

    async def run(self) -> None:
        """Be seen, and count; runs until cancelled, then is seen no more."""
        try:
            while True:
                with contextlib.suppress(RedisError, OSError, TimeoutError):
                    await self._beat()
                await asyncio.sleep(POLL_INTERVAL_S)
        finally:
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                await self._redis.zrem(KEY, self._name)

    async def _beat(self) -> None:
        now = time.time()
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.zadd(KEY, {self._name: now})
        pipeline.zremrangebyscore(KEY, "-inf", now - GONE_AFTER_S)
        pipeline.zcard(KEY)
        pipeline.expire(KEY, 60)
        self.edges = max(1, (await pipeline.execute())[2])
