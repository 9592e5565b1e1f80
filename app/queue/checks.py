"""Checks whether the queue Redis is configured to lose nothing that it has acknowledged."""

import asyncio

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from app.errors import StartupError
from app.settings import Settings

log = structlog.get_logger()

RETRY_DELAY_S = 2.0
MIN_VERSION = (6, 2)
REQUIRED = {
    "appendonly": ("yes", "otherwise a restart loses every job"),
    "appendfsync": ("always", "otherwise a crash loses jobs that were acknowledged"),
    "maxmemory-policy": ("noeviction", "otherwise Redis drops jobs when its memory is full"),
}
"""Each configuration parameter with its value and the reason for it."""


async def check_queue(redis: Redis, settings: Settings) -> None:
    """Wait until the queue Redis answers, then raise StartupError if it may lose jobs.

    With PENSTOCK_QUEUE_CHECK=warn, for a Redis that is durable by other means, the problems are only logged.
    """
    problems = await _problems(redis)
    if problems and settings.queue_check == "require":
        raise StartupError(
            f"The queue Redis may lose jobs: {'; '.join(problems)}. PENSTOCK_QUEUE_CHECK=warn accepts it."
        )
    for problem in problems:
        log.warning("queue_redis_may_lose_jobs", problem=problem)


async def _problems(redis: Redis) -> list[str]:
    while True:
        try:
            problems = await queue_problems(redis)
            await _warn_without_maxmemory(redis)
            return problems
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("queue_redis_unavailable", error=str(error))
            await asyncio.sleep(RETRY_DELAY_S)


async def queue_problems(redis: Redis) -> list[str]:
    """Return why the queue Redis may lose jobs. Raises RedisError, OSError, TimeoutError while it does not answer."""
    try:
        return [*await _version_problems(redis), *await _configuration_problems(redis)]
    except ResponseError as error:
        return [f"its configuration cannot be read ({error})"]


async def _warn_without_maxmemory(redis: Redis) -> None:
    if int((await redis.info("memory"))["maxmemory"]) == 0:
        log.warning("queue_redis_without_maxmemory", advice="set maxmemory, so that deferring stops before it is full")


async def _version_problems(redis: Redis) -> list[str]:
    version = str((await redis.info("server"))["redis_version"])
    if tuple(int(part) for part in version.split(".")[:2]) < MIN_VERSION:
        return [f"its version is {version}, and at least 6.2 is required"]
    return []


async def _configuration_problems(redis: Redis) -> list[str]:
    configured = {name: _text((await redis.config_get(name)).get(name)) for name in REQUIRED}
    return [
        f"{name} must be {value}, {reason}" for name, (value, reason) in REQUIRED.items() if configured[name] != value
    ]


def _text(value: str | bytes | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""
