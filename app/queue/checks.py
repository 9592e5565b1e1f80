"""Is the queue Redis one that loses nothing it has acknowledged?"""

import asyncio

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from app.errors import StartupError
from app.settings import Settings

log = structlog.get_logger()

RETRY_DELAY_S = 2.0
LEAST_VERSION = (6, 2)
WANTED = {
    "appendonly": ("yes", "otherwise a restart loses every job"),
    "appendfsync": ("always", "otherwise a crash loses jobs that were acknowledged"),
    "maxmemory-policy": ("noeviction", "otherwise a full memory drops jobs"),
}


async def check_queue(redis: Redis, settings: Settings) -> None:
    """Wait until it answers, then judge it. Raises StartupError where it is not fit and must be.

    PENSTOCK_QUEUE_CHECK=warn makes it a warning, for a Redis whose durability is promised in another way.
    """
    problems = await _problems(redis)
    if problems and settings.queue_check == "require":
        raise StartupError(f"The queue Redis is not fit: {'; '.join(problems)}. PENSTOCK_QUEUE_CHECK=warn accepts it.")
    for problem in problems:
        log.warning("queue_redis_not_fit", problem=problem)


async def _problems(redis: Redis) -> list[str]:
    while True:
        try:
            return [*await _version(redis), *await _configuration(redis)]
        except ResponseError as error:
            return [f"its configuration cannot be read ({error})"]
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("queue_redis_away", error=str(error))
            await asyncio.sleep(RETRY_DELAY_S)


async def _version(redis: Redis) -> list[str]:
    version = str((await redis.info("server"))["redis_version"])
    if tuple(int(part) for part in version.split(".")[:2]) < LEAST_VERSION:
        return [f"it is version {version}, 6.2 is the least"]
    return []


async def _configuration(redis: Redis) -> list[str]:
    has = {name: _text((await redis.config_get(name)).get(name)) for name in (*WANTED, "maxmemory")}
    if has.get("maxmemory") == "0":
        log.warning("queue_redis_without_maxmemory", advice="set maxmemory: deferring then stops before it is full")
    return [f"{name} must be {value}, {why}" for name, (value, why) in WANTED.items() if has.get(name) != value]


def _text(value: str | bytes | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""
