"""The cache Redis loses everything under traffic."""

import json
import time
from pathlib import Path

from redis.asyncio import Redis

from app.settings import Settings
from tests.support.system import running


async def test_an_emptied_cache_is_never_no_limits(settings: Settings, tmp_path: Path) -> None:
    """FLUSHALL under traffic: one extra burst at the most, no unplanned 500; within a second the limit holds again."""
    async with (
        running(settings, tmp_path, edges=2, workers=1) as system,
        Redis.from_url(settings.cache_redis_url) as cache,
    ):
        await system.put_rule("r", key_type="user", key_value="*", limit=10, window_seconds=3600)
        await system.rule_is_known("r", "u")
        statuses: list[int] = []

        async def traffic(seconds: float) -> None:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                statuses.append((await system.request("GET", "/", "u", headers={"Connection": "close"})).status)

        await traffic(1)
        assert statuses.count(200) == 10
        await cache.flushall()
        await traffic(2)
        assert statuses.count(200) <= 20, "one extra burst"
        assert set(statuses) <= {200, 429, 503}
        before = len(statuses)
        await traffic(1)
        assert set(statuses[before:]) == {429}
        fresh = await system.request("GET", "/", "another")
        assert json.loads(fresh.headers["RateLimit-Policy"].partition(";")[0]) == "r"
