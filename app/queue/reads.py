"""Plain reads of the queue Redis, and what reads of script replies share."""

from collections.abc import Awaitable, Sequence
from typing import Any

from redis.exceptions import RedisError

from app.errors import QueueUnavailable


async def read(reply: Awaitable[Any]) -> Any:  # noqa: ANN401 - redis-py's replies are untyped
    """The reply to a redis-py command. Raises QueueUnavailable."""
    try:
        return await reply
    except (RedisError, OSError, TimeoutError) as error:
        raise QueueUnavailable(f"Redis: {error}") from error


def rows(reply: Sequence[Any], size: int) -> list[Sequence[Any]]:
    """Split a script's flat reply into rows of `size` fields."""
    return [reply[at : at + size] for at in range(0, len(reply), size)]
