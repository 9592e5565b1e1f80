"""Heartbeats: every process says in the cache Redis that it runs, and what it knows of itself."""

import asyncio
import contextlib
import os
import secrets
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.process.rate_window import RateWindow

INDEX_KEY = "processes"
"""Sorted set: the ids of processes by the time (Unix seconds) of their last heartbeat."""

KEY_PREFIX = "process:"
"""With the id, the key of what a process says of itself: JSON."""

INTERVAL_S = 2.0
TTL_S = 60
"""How long a process is remembered that ended without saying so."""

FORGET_AFTER_S = 600.0
"""When its id leaves the index: later than its key goes, by whatever clocks differ."""

MAX_PROCESSES = 1000
"""How many are read; an installation has tens."""

RATE_SAMPLES = 6

Report = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The last heartbeat of a process: its age in seconds, and what the process said."""

    process_id: str
    age_s: float
    said: Report


class ProcessHeartbeat:
    """The heartbeat of this process: one small write every INTERVAL_S.

    `report` returns what the process says besides its role, version and start; `counts` the counters whose rates over
    the last seconds it says. Both are called with each heartbeat.
    """

    def __init__(
        self,
        redis: Redis,
        role: str,
        report: Callable[[], Report] = dict,
        counts: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self._redis = redis
        self._report = report
        self._counts = counts
        self._rates = RateWindow(RATE_SAMPLES)
        self._id = secrets.token_hex(8)
        self._constant = {
            "role": role,
            "version": version("penstock"),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started_at_s": time.time(),
        }

    async def run(self) -> None:
        """Send heartbeats until cancelled, then remove this process. What Redis misses comes with the next one."""
        try:
            while True:
                with contextlib.suppress(RedisError, OSError, TimeoutError):
                    await self.beat()
                await asyncio.sleep(INTERVAL_S)
        finally:
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                await self._remove()

    async def beat(self) -> None:
        """Send one heartbeat. Raises RedisError, OSError, TimeoutError."""
        now_s = time.time()
        said = {**self._constant, "rates_per_s": self._rates.add(self._counts()), **self._report()}
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.set(KEY_PREFIX + self._id, orjson.dumps(said), ex=TTL_S)
        pipeline.zadd(INDEX_KEY, {self._id: now_s})
        pipeline.zremrangebyscore(INDEX_KEY, "-inf", now_s - FORGET_AFTER_S)
        pipeline.expire(INDEX_KEY, int(FORGET_AFTER_S))
        await pipeline.execute()

    async def _remove(self) -> None:
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.delete(KEY_PREFIX + self._id)
        pipeline.zrem(INDEX_KEY, self._id)
        await pipeline.execute()


async def read_heartbeats(redis: Redis) -> Sequence[Heartbeat]:
    """Return the last heartbeat of each process, by the clock of Redis. Raises RedisError, OSError, TimeoutError."""
    found: list[Any] = await redis.zrevrange(INDEX_KEY, 0, MAX_PROCESSES - 1)
    ids = [process_id.decode(errors="replace") for process_id in found]
    if not ids:
        return []
    pipeline = redis.pipeline(transaction=False)
    for process_id in ids:
        pipeline.get(KEY_PREFIX + process_id)
        pipeline.pttl(KEY_PREFIX + process_id)
    replies = await pipeline.execute()
    return [
        Heartbeat(process_id, max(0.0, TTL_S - left_ms / 1000), report)
        for process_id, said, left_ms in zip(ids, replies[::2], replies[1::2], strict=True)
        if left_ms > 0 and (report := _report(said)) is not None
    ]


def _report(said: bytes | None) -> Report | None:
    """What a process said; None where the key is gone, or holds something that is not ours."""
    try:
        report = None if said is None else orjson.loads(said)
    except ValueError:
        return None
    return report if isinstance(report, dict) else None
