"""How the admin API gets the samples of edges, over a real cache Redis."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from app.traffic.exchange import CHANNEL, TrafficCollector, TrafficPublisher
from app.traffic.samples import MAX_PATH_LENGTH, SampledCaller, TrafficSamples
from app.web.paths import path_forms
from tests.support.waiting import eventually


@pytest.fixture
async def samples(cache: Redis) -> AsyncIterator[TrafficSamples]:
    """The samples of an edge, which answers with them."""
    kept, stop = TrafficSamples(), asyncio.Event()
    publishing = asyncio.create_task(TrafficPublisher(cache, kept).run(stop))

    async def subscribed() -> bool:
        [(_, subscribers)] = await cache.pubsub_numsub(CHANNEL)
        return bool(subscribers)

    await eventually(subscribed, 10, "the edge listens")
    yield kept
    stop.set()
    await publishing


def note(samples: TrafficSamples, path: bytes) -> None:
    samples.add([SampledCaller("r", "user:ann", 0.5, 1)], "GET", path_forms(path))


async def test_an_edge_answers_whatever_path_a_client_has_sent(cache: Redis, samples: TrafficSamples) -> None:
    for path in (b"/", b"/caf%c3%a9", b"/caf%e9", b"/a%2fb", b"/" + b"a%ff" * 1000):
        note(samples, path)
    [found] = await TrafficCollector(cache).collect("r")
    paths = [arrival.paths[0] for arrival in found.arrivals["user:ann"]]
    assert paths == ["/", "/caf\xe9", "/caf%E9", "/a%2Fb", ("/" + "a%FF" * 1000)[:MAX_PATH_LENGTH]]


@pytest.mark.parametrize("message", [b"", b"\xff", b"{", b"[]", b"null", b"7", b"{}", b'{"rule_id": "r"}'])
async def test_what_is_no_question_does_not_end_an_edge(cache: Redis, samples: TrafficSamples, message: bytes) -> None:
    note(samples, b"/")
    await cache.publish(CHANNEL, message)
    assert len(await TrafficCollector(cache).collect("r")) == 1


async def test_an_edge_without_requests_to_the_rule_says_so(cache: Redis, samples: TrafficSamples) -> None:
    note(samples, b"/")
    assert await TrafficCollector(cache).collect("s") == []
