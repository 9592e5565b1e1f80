"""How much the queue holds altogether, at a cost that does not grow with it."""

import time
from dataclasses import dataclass

from redis.asyncio import Redis

from app.queue import keys
from app.queue.reads import read

PARTITIONS_AT_ONCE = 256
RECENT_S = 600
"""For how long a dead letter is a recent one."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """All jobs that are not final; how old the oldest of them is in seconds; those that back off; the dead letters.

    `recent_dead_letters`: how many of the dead letters failed in the last RECENT_S.
    """

    jobs: int
    oldest_age_s: float | None
    retrying: int
    dead_letters: int
    recent_dead_letters: int


async def read_backlog(redis: Redis, partitions: int) -> Backlog:
    """Read the lengths that the queue Redis keeps, and the oldest entry of each partition. Raises QueueUnavailable."""
    jobs = retrying = dead_letters = recent = 0
    recent_from_us = int((time.time() - RECENT_S) * 1e6)
    oldest_age_s: float | None = None
    for first in range(0, partitions, PARTITIONS_AT_ONCE):
        chunk = range(first, min(partitions, first + PARTITIONS_AT_ONCE))
        pipeline = redis.pipeline(transaction=False)
        pipeline.time()
        for partition in chunk:
            pipeline.xlen(keys.jobs_stream(partition))
            pipeline.xrange(keys.jobs_stream(partition), count=1)
            pipeline.zcard(keys.prefix(partition) + "retry")
            pipeline.zcard(keys.prefix(partition) + "dead")
            pipeline.zcount(keys.prefix(partition) + "dead", recent_from_us, "+inf")
        (seconds, microseconds), *replies = await read(pipeline.execute())
        jobs += sum(replies[::5])
        retrying += sum(replies[2::5])
        dead_letters += sum(replies[3::5])
        recent += sum(replies[4::5])
        for entries in filter(None, replies[1::5]):
            submitted_ms = int(entries[0][0].partition(b"-")[0])
            age_s = max(0.0, seconds + microseconds / 1e6 - submitted_ms / 1000)
            oldest_age_s = age_s if oldest_age_s is None else max(oldest_age_s, age_s)
    return Backlog(jobs, oldest_age_s, retrying, dead_letters, recent)
