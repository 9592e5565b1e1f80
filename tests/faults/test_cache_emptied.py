"""The cache Redis loses everything under traffic."""

import json
import time
from pathlib import Path

from redis.asyncio import Redis

from app.settings import Settings
from tests.support.system import running
from tests.support.waiting import eventually

LIMIT = 10


async def test_an_emptied_cache_is_never_no_limits(settings: Settings, tmp_path: Path) -> None:
    """FLUSHALL under traffic: one extra burst at the most, no unplanned 500; within a second the limit holds again."""
    async with (
        running(settings, tmp_path, edges=2, workers=1) as system,
        Redis.from_url(settings.cache_redis_url) as cache,
    ):
        await system.put_rule("r", key_type="user", key_value="*", limit=LIMIT, window_seconds=3600)
        await system.rule_is_known("r", "u")
        statuses: list[int] = []

        async def ask() -> None:
            statuses.append((await system.request("GET", "/", "u", headers={"Connection": "close"})).status)

        async def forwarded(count: int) -> None:
            async def enough() -> bool:
                await ask()
                return statuses.count(200) >= count

            await eventually(enough, 30, f"{count} requests are forwarded")

        async def traffic(seconds: float) -> None:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                await ask()

        await forwarded(LIMIT)
        await traffic(0.5)
        assert statuses.count(200) == LIMIT
        await cache.flushall()
        await forwarded(2 * LIMIT)
        await system.rule_is_known("r", "another")
        before = len(statuses)
        await traffic(1)
        assert set(statuses[before:]) == {429}, "the limit holds again"
        assert statuses.count(200) == 2 * LIMIT, "one extra burst"
        assert set(statuses) <= {200, 429, 503}
        fresh = await system.request("GET", "/", "another")
        assert json.loads(fresh.headers["RateLimit-Policy"].partition(";")[0]) == "r"
