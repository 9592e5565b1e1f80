"""Plain reads of the queue Redis by redis-py, for what no script does."""

from collections.abc import Awaitable
from typing import Any

from redis.exceptions import RedisError

from app.errors import QueueUnavailable


async def read(reading: Awaitable[Any]) -> Any:  # noqa: ANN401 - redis-py's answers are untyped
    """What it answers. Raises QueueUnavailable."""
    try:
        return await reading
    except (RedisError, OSError, TimeoutError) as error:
        raise QueueUnavailable(f"Redis: {error}") from error
