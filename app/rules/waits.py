"""The longest time for which any rule in force lets its jobs wait."""

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.errors import RulesUnavailable
from app.rules import keys
from app.rules.queue_options import QueueOptions

PAGE_SIZE = 500


async def longest_wait_s(redis: Redis) -> float:
    """The largest `max_wait_seconds` of all rules in the cache Redis; 0 without rules. Raises RulesUnavailable."""
    longest = 0.0
    try:
        if not await redis.exists(keys.VERSION):
            raise RulesUnavailable("The rules are not published.", "missing")
        page: list[bytes] = []
        async for name in redis.scan_iter(match="rule:*", count=PAGE_SIZE):
            page.append(name)
            if len(page) == PAGE_SIZE:
                longest = max(longest, await _longest(redis, page))
                page = []
        return max(longest, await _longest(redis, page)) if page else longest
    except (RedisError, OSError, TimeoutError) as error:
        raise RulesUnavailable(f"The cache Redis does not answer: {error}") from error


async def _longest(redis: Redis, names: list[bytes]) -> float:
    default = QueueOptions().max_wait_seconds
    buckets = [orjson.loads(data) for data in await redis.mget(names) if data is not None]
    waits = [rule.get("queue", {}).get("max_wait_seconds", default) for bucket in buckets for rule in bucket]
    return max(waits, default=0.0)
