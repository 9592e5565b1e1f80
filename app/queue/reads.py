"""Plain reads of the queue Redis by redis-py, for what no script does."""

from collections.abc import Awaitable
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.errors import QueueUnavailable


def as_glob(text: str) -> str:
    """A pattern of Redis that this text alone matches."""
    return "".join(f"\\{char}" if char in "*?[]\\" else char for char in text)


async def now_us(redis: Redis) -> int:
    """The time in microseconds by the clock of the queue Redis. Raises QueueUnavailable."""
    seconds, microseconds = await read(redis.time())
    return int(seconds) * 1_000_000 + int(microseconds)


async def read(reply: Awaitable[Any]) -> Any:  # noqa: ANN401 - redis-py's replies are untyped
    """The reply to a redis-py command. Raises QueueUnavailable."""
    try:
        return await reply
    except (RedisError, OSError, TimeoutError) as error:
        raise QueueUnavailable(f"Redis: {error}") from error
