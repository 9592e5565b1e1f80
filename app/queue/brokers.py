"""Registers the job queues by the value of `PENSTOCK_QUEUE`; consumers/brokers.py registers their intakes.

A new broker is a package here with a JobQueue, a package in consumers/ with an intake, an entry in both registries, and
its name in `app.queue_kind.QueueKind`. Its client is imported only where the settings name it.
"""

from collections.abc import Callable, Mapping

from redis.asyncio import Redis

from app.queue.job_queue import JobQueue
from app.queue.redis_queue import RedisQueue
from app.queue_kind import QueueKind
from app.redis_wire.scripts import Scripts
from app.settings import Settings


def _kafka_queue(redis: Redis, scripts: Scripts, settings: Settings) -> JobQueue:
    from app.queue.kafka.queue import KafkaQueue

    return KafkaQueue.of(redis, scripts, settings)


QUEUES: Mapping[QueueKind, Callable[[Redis, Scripts, Settings], JobQueue]] = {
    "redis": RedisQueue.of,
    "kafka": _kafka_queue,
}


def build_job_queue(redis: Redis, scripts: Scripts, settings: Settings) -> JobQueue:
    """The queue that the settings name. `redis` and `scripts` are clients of the queue Redis."""
    return QUEUES[settings.queue](redis, scripts, settings)
