"""Fixtures of the tests that hold Lua scripts against a model."""

from collections.abc import Iterator

import pytest
import redis


@pytest.fixture
def redis_client(cache_redis_url: str) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(cache_redis_url)
    yield client
    client.close()
