"""The longest time that any rule lets its jobs wait, which a Kafka topic has to keep messages for."""

import orjson
import pytest
from redis.asyncio import Redis

from app.errors import RulesUnavailable
from app.rules import keys
from app.rules.waits import PAGE_SIZE, longest_wait_s

HOUR_S = 3600.0
"""What a rule lets its jobs wait if it does not say."""


async def publish(cache: Redis, *waits_s: float | None) -> None:
    """Rules of a user each, as sync writes them."""
    await cache.set(keys.VERSION, 1)
    for number, wait_s in enumerate(waits_s):
        rule = {"rule_id": f"r{number}"} | ({} if wait_s is None else {"queue": {"max_wait_seconds": wait_s}})
        await cache.set(keys.bucket("user", f"u{number}"), orjson.dumps([rule]))


async def test_rules_that_are_not_published_are_unavailable(cache: Redis) -> None:
    with pytest.raises(RulesUnavailable, match="not published"):
        await longest_wait_s(cache)


@pytest.mark.parametrize(
    ("waits_s", "longest_s"), [([], 0.0), ([5.0], 5.0), ([5.0, None], HOUR_S), ([None, 86_400.0, 7.0], 86_400.0)]
)
async def test_the_longest_of_all_rules_counts(cache: Redis, waits_s: list[float | None], longest_s: float) -> None:
    await publish(cache, *waits_s)
    assert await longest_wait_s(cache) == longest_s


@pytest.mark.parametrize("count", [PAGE_SIZE, PAGE_SIZE + 1])
async def test_it_is_found_on_any_page(cache: Redis, count: int) -> None:
    for longest_at in (0, count - 1):
        await publish(cache, *(9000.0 if number == longest_at else 1.0 for number in range(count)))
        assert await longest_wait_s(cache) == 9000.0
