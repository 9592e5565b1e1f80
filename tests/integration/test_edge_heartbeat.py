"""How many edges an edge believes to be there, by which it divides limits while the counters are away."""

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.edge.heartbeat import EXPIRES_AFTER_S, KEY, EdgeHeartbeat


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


async def test_no_edge_takes_the_shares_of_others_after_the_counters_were_lost(cache: Redis) -> None:
    clock = Clock()
    first, second = EdgeHeartbeat(cache, clock), EdgeHeartbeat(cache, clock)
    for edge in (first, second, first):
        await edge.beat()
    assert (first.edges, second.edges) == (2, 2)
    await cache.flushall()
    clock.now_s += 3600  # for so long it was away
    await first.beat()
    assert first.edges == 2, "the other one has had no time to report"
    for edge in (second, first):
        await edge.beat()
    assert (first.edges, second.edges) == (2, 2)


async def test_what_was_seen_before_an_outage_says_nothing_about_what_is_there_after_it(cache: Redis) -> None:
    clock = Clock()
    first, second = EdgeHeartbeat(cache, clock), EdgeHeartbeat(cache, clock)
    for edge in (first, second, first):
        await edge.beat()
    await cache.flushall()
    await first.beat()
    await cache.set(KEY, "")  # an error for each heartbeat
    clock.now_s += 3600
    with pytest.raises(RedisError):
        await first.beat()
    await cache.delete(KEY)
    await first.beat()
    assert first.edges == 2


async def test_an_edge_that_is_gone_is_counted_no_more_after_a_while(cache: Redis) -> None:
    clock = Clock()
    edges = [EdgeHeartbeat(cache, clock) for _ in range(3)]
    for edge in (*edges, *edges):
        await edge.beat()
    assert [edge.edges for edge in edges] == [3, 3, 3]
    await cache.zremrangebyrank(KEY, 0, 0)
    alive = edges[1:]
    for _ in range(int(EXPIRES_AFTER_S)):
        for edge in alive:
            await edge.beat()
        assert [edge.edges for edge in alive] == [3, 3]
        clock.now_s += 1
    for edge in alive:
        await edge.beat()
    assert [edge.edges for edge in alive] == [2, 2]
