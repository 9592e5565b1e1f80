"""A flow's backlog marker does not fade away: each decision that it refuses renews it. One of waiting flows does."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from app.clients import counter_scripts
from app.limiter.keys import backlog_of, live_counter
from app.limiter.policy import Charge, Policy
from app.limiter.redis_limiter import RedisLimiter
from app.settings import Settings

TTL_S, NEARLY_OVER_S = 1000, 10


@pytest.fixture
async def limiter(settings: Settings) -> AsyncIterator[RedisLimiter]:
    scripts = counter_scripts(settings, 5000)
    yield RedisLimiter(scripts)
    await scripts.aclose()


@pytest.mark.parametrize("algorithm", ["gcra", "sliding_window"])
async def test_a_decision_renews_it_and_a_look_does_not(limiter: RedisLimiter, cache: Redis, algorithm: str) -> None:
    policy = Policy(100, 60, 100, 1, algorithm)
    passes = Charge(live_counter("ip-rule", "ip:127.0.0.1"), policy)
    heeds = Charge(live_counter("r", "user:alice"), policy, markers=(backlog_of(live_counter("r", "user:alice")),))
    [marker] = heeds.markers
    await limiter.set_backlog_marker(marker, 1, TTL_S)
    await cache.expire(marker, NEARLY_OVER_S)
    assert [state.backlog for state in (await limiter.inspect((passes, heeds))).states] == [False, True]
    assert await cache.ttl(marker) <= NEARLY_OVER_S
    verdict = await limiter.decide((passes, heeds))
    assert not verdict.allowed
    assert [state.backlog for state in verdict.states] == [False, True]
    assert [state.remaining for state in verdict.states] == [100, 100], "nothing is spent"
    assert await cache.ttl(marker) > NEARLY_OVER_S


@pytest.mark.parametrize("algorithm", ["gcra", "sliding_window"])
async def test_a_decision_does_not_renew_what_fades_by_itself(
    limiter: RedisLimiter, cache: Redis, algorithm: str
) -> None:
    """That flows wait for a shared counter is said again by whoever serves them, and by no live request."""
    marker = backlog_of(live_counter("r", "ip:10.0.0.0/8"))
    charge = Charge(live_counter("r", "ip:10.0.0.0/8"), Policy(100, 60, 100, 1, algorithm), markers=(marker,))
    await limiter.set_backlog_marker(marker, 1, TTL_S, renewed=False)
    await cache.expire(marker, NEARLY_OVER_S)
    assert not (await limiter.decide((charge,))).allowed
    assert 0 < await cache.ttl(marker) <= NEARLY_OVER_S
    await limiter.clear_backlog_markers([(marker, 1)])
    assert (await limiter.decide((charge,))).allowed
