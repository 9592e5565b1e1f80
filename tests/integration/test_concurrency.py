"""`concurrency`: how many requests of a descriptor are in flight at once, asked of real edges and of the counters."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from ipaddress import ip_network
from typing import Any

import pytest
from redis.asyncio import Redis

from app.clients import counter_scripts
from app.decision import quotas_of
from app.limiter.keys import PLACES_FREED
from app.limiter.places import Places
from app.limiter.policy import LEASE_S
from app.limiter.redis_limiter import RedisLimiter
from app.queue.flows import Flows
from app.queue.model import Wait
from app.redis_wire.scripts import Scripts
from app.rules.active import ActiveRule
from app.rules.match import Match
from app.rules.model import parse_rule
from app.settings import Settings
from consumers.place_waiting import PlaceWaiting
from tests.support.edge_in_process import EVERY_USER, OK, Edge, Exchange, edge_running, in_force
from tests.support.flow_steps import accepted, active, deferral, take
from tests.support.waiting import eventually

PLACES = "counter:{busy|user:u}:places"


class Held:
    """An app server that answers no request before the test says so, and counts those that are in flight."""

    def __init__(self) -> None:
        self.waiting: list[asyncio.Event] = []
        self.most = 0

    async def __call__(self, exchange: Exchange) -> None:
        answer = asyncio.Event()
        self.waiting.append(answer)
        self.most = max(self.most, len(self.waiting))
        try:
            await answer.wait()
        finally:
            self.waiting.remove(answer)
        await exchange.answer(OK)

    def answer_all(self) -> None:
        for one in self.waiting:
            one.set()


@pytest.fixture
async def edge(settings: Settings, cache: Redis) -> AsyncIterator[Edge]:
    async with edge_running(settings, cache, trusted_proxies=(ip_network("127.0.0.0/8"),)) as running:
        yield running


async def taken(cache: Redis, counter: str = PLACES) -> int:
    return int(await cache.zcard(counter))


async def test_no_more_are_in_flight_than_the_rule_says(edge: Edge) -> None:
    held = Held()
    edge.app_server.handler = held
    await edge.rule("busy", **EVERY_USER, concurrency=3)
    who, another = edge.bearer("u"), edge.bearer("another")
    await in_force(edge, "busy", who)
    first = [asyncio.create_task(edge.get("/", who)) for _ in range(3)]
    await eventually(lambda: len(held.waiting) == 3, 30, "three are in flight")
    refused = await edge.get("/", who)
    assert (refused.status, refused.headers["retry-after"]) == (429, "1")
    assert refused.json()["violated-policies"] == ["busy:concurrency"]
    assert refused.headers["ratelimit-policy"] == '"busy:concurrency";q=3;qu="concurrent-requests"'
    assert refused.headers["ratelimit"] == '"busy:concurrency";r=0'
    [shown] = (await edge.get("/_penstock/limits", who)).json()["limits"]
    assert (shown["policy"], shown["limit"], shown["remaining"], shown["in_flight"]) == ("busy:concurrency", 3, 0, 3)
    assert shown["window_seconds"] is None
    fourth = asyncio.create_task(edge.get("/", another))
    await eventually(lambda: len(held.waiting) == 4, 30, "another caller has places of their own")
    held.answer_all()
    assert [answer.status for answer in await asyncio.gather(*first, fourth)] == [200] * 4
    await eventually(lambda: _none(edge.cache), 30, "all places are free")
    again = asyncio.create_task(edge.get("/", who))
    await eventually(lambda: len(held.waiting) == 1, 30, "the next one is in flight")
    held.answer_all()
    assert (await again).status == 200


async def _none(cache: Redis) -> bool:
    return await taken(cache) == 0


async def test_a_place_is_given_back_however_the_request_ends(edge: Edge) -> None:
    """The client goes away, the app server cuts the connection, or its answer is no HTTP."""
    held = Held()
    await edge.rule("busy", **EVERY_USER, concurrency=2)
    who = edge.bearer("u")
    await in_force(edge, "busy", who)

    edge.app_server.handler = held
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    writer.write(f"GET / HTTP/1.1\r\nHost: x\r\n{who}\r\n\r\n".encode())
    await eventually(lambda: len(held.waiting) == 1, 30, "it is in flight")
    assert await taken(edge.cache) == 1
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()  # with a reset: half-closed, the client may still read
    await eventually(lambda: _none(edge.cache), 30, "whose client has gone")
    held.answer_all()
    del reader

    async def cuts(exchange: Exchange) -> None:
        exchange.writer.transport.abort()

    async def speaks_no_http(exchange: Exchange) -> None:
        await exchange.answer(b"nonsense\r\n\r\n")

    for handler in (cuts, speaks_no_http):
        edge.app_server.handler = handler
        assert (await edge.get("/", who)).status == 502
        await eventually(lambda: _none(edge.cache), 30, "whose app server failed")


async def test_a_request_that_another_limit_refuses_takes_no_place(edge: Edge) -> None:
    await edge.rule("busy", **EVERY_USER, limit=1, window_seconds=3600, concurrency=5)
    who = edge.bearer("u")
    await in_force(edge, "busy", who)
    answers = [await edge.get("/", who) for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 429, 429, 429]
    assert answers[-1].json()["violated-policies"] == ["busy"]
    await eventually(lambda: _none(edge.cache), 30, "all places are free")


async def test_a_shadow_rule_counts_those_in_flight_and_refuses_nobody(edge: Edge) -> None:
    held = Held()
    edge.app_server.handler = held
    await edge.rule("busy", **EVERY_USER, concurrency=1, shadow=True)
    who = edge.bearer("u")
    await eventually(lambda: _knows(edge), 30, "the rule is in force")
    both = [asyncio.create_task(edge.get("/", who)) for _ in range(2)]
    await eventually(lambda: len(held.waiting) == 2, 30, "both are in flight")
    await eventually(lambda: edge.counted("penstock_shadow_refusals_total", rule_id="busy") == 1, 30, "one is counted")
    held.answer_all()
    assert [answer.status for answer in await asyncio.gather(*both)] == [200, 200]
    await eventually(lambda: _none(edge.cache), 30, "all places are free")


async def _knows(edge: Edge) -> bool:
    return await edge.cache.get("rules:version") != b"1"


# ------------------------------------------------------------------------------------------------ at the counters


def quotas(revision: int = 1, **fields: Any) -> Any:  # noqa: ANN401
    rule = ActiveRule(parse_rule({"rule_id": "busy", **EVERY_USER} | fields), revision)
    return quotas_of([Match(rule, "user:u")]).charges


@pytest.fixture
async def limiter(counting: Scripts) -> RedisLimiter:
    return RedisLimiter(counting)


async def test_a_place_whose_lease_has_ended_is_free(limiter: RedisLimiter, cache: Redis) -> None:
    charges = quotas(concurrency=2)
    assert (await limiter.decide(charges, "a-")).allowed
    assert (await limiter.decide(charges, "b-")).allowed
    refused = await limiter.decide(charges, "c-")
    assert not refused.allowed
    assert refused.states[0].refused
    assert 0 < refused.states[0].wait_us <= LEASE_S * 1e6
    await cache.zadd(PLACES, {"a-1": 1.0})  # its process was killed, and time has passed
    assert (await limiter.decide(charges, "c-")).allowed
    assert await cache.zrange(PLACES, 0, -1) == [b"b-1", b"c-1"]
    assert 0 < await cache.pttl(PLACES) <= (LEASE_S + 4) * 1000


async def test_a_clock_that_steps_back_makes_no_lease_longer(limiter: RedisLimiter, cache: Redis) -> None:
    charges = quotas(concurrency=1)
    now = (await cache.time())[0]
    await cache.zadd(PLACES, {"killed-1": (now + 3600) * 1e6})
    refused = await limiter.decide(charges, "a-")
    assert not refused.allowed, "it may still be in flight"
    assert 0 < refused.states[0].wait_us <= LEASE_S * 1e6


async def test_a_lease_is_extended_for_as_long_as_it_is_held(
    limiter: RedisLimiter, counting: Scripts, cache: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.limiter.places.EXTEND_INTERVAL_S", 0.05)
    places = Places(counting)
    name = places.new_name()
    assert (await limiter.decide(quotas(concurrency=1), name)).allowed
    places.hold([PLACES], name + "1")
    before = await cache.zscore(PLACES, name + "1")
    assert before is not None
    extending = asyncio.create_task(places.run())

    async def is_extended() -> bool:
        now = await cache.zscore(PLACES, name + "1")
        return now is not None and now > before

    await eventually(is_extended, 30, "the lease is extended")
    places.give_back([PLACES], name + "1")
    await places.finish()
    await asyncio.sleep(0.2)
    assert await taken(cache) == 0, "what was given back is not extended"
    extending.cancel()


async def test_many_places_are_given_back_in_batches(limiter: RedisLimiter, counting: Scripts, cache: Redis) -> None:
    await counting.load()  # a script that is not there yet is called twice
    places, charges = Places(counting), quotas(concurrency=10_000)
    names = [places.new_name() for _ in range(1000)]
    for verdict in await asyncio.gather(*(limiter.decide(charges, name) for name in names)):
        assert verdict.allowed
    assert await taken(cache) == 1000
    calls = await commands(cache, "evalsha")
    for name in names:
        places.hold([PLACES], name + "1")
        places.give_back([PLACES], name + "1")
    await places.finish()
    assert await taken(cache) == 0
    assert await commands(cache, "evalsha") - calls == 4
    assert places.held(PLACES) == 0


async def commands(cache: Redis, name: str) -> int:
    stats = await cache.info("commandstats")
    return int(stats[f"cmdstat_{name}"]["calls"])


async def test_who_waits_for_a_place_is_told_once_one_is_free(
    limiter: RedisLimiter, counting: Scripts, cache: Redis
) -> None:
    places, charges = Places(counting), quotas(concurrency=1, on_limit="defer")
    async with cache.pubsub() as channel:
        await channel.subscribe(PLACES_FREED)
        await channel.get_message(timeout=5)
        assert (await limiter.decide(charges, "a-")).allowed
        places.give_back([PLACES], "a-1")
        await places.finish()
        assert await channel.get_message(timeout=0.2) is None, "nobody waited"
        assert (await limiter.decide(charges, "b-")).allowed
        slots = await limiter.acquire(charges, 3, 50_000, 0, "", 0, 1, "worker-")
        assert slots.waits_us == ()
        places.give_back([PLACES], "b-1")
        await places.finish()
        message = await channel.get_message(timeout=5)
        assert message is not None
        assert message["data"] == PLACES.encode()


async def test_many_flows_are_woken_together(flows: Flows, cache: Redis, queue: Redis) -> None:
    """Each write of the queue waits for the disk: a thousand places that are free at once are not a thousand writes."""
    waiting = PlaceWaiting(flows, cache)
    await accepted(flows, deferral(rule=active(), user="u0"))
    [flow] = await take(flows)
    await flows.give_back(flow, Wait(3_600_000_000, f"r|user:u{0}", for_place=True))
    for number in range(1000):
        assert waiting.add(f"r|user:u{number}", f"r|user:u{number}", 0.0)
    before = await commands(queue, "evalsha")
    for number in range(1000):
        waiting.freed(f"r|user:u{number}")

    async def is_due() -> bool:
        return [unit.name for unit in await take(flows)] == [flow.name]

    await eventually(is_due, 30, "the one that is there is due")
    assert await commands(queue, "evalsha") - before < 40
    assert not waiting.add(flow.name, "r|user:u0", 0.0), "a place was free since it asked"


async def test_a_worker_gets_as_many_slots_as_there_are_places(limiter: RedisLimiter, cache: Redis) -> None:
    charges = quotas(concurrency=4, on_limit="defer")
    assert (await limiter.decide(charges, "live-")).allowed
    slots = await limiter.acquire(charges, 10, 50_000, 0, "", 0, 1, "worker-")
    assert len(slots.waits_us) == 3
    assert await cache.zrange(PLACES, 0, -1) == [b"live-1", b"worker-1", b"worker-2", b"worker-3"]
    assert slots.next_wait_us > 50_000


async def test_a_lower_number_refuses_until_enough_have_ended(limiter: RedisLimiter, counting: Scripts) -> None:
    places = Places(counting)
    for name in "abc":
        assert (await limiter.decide(quotas(concurrency=3), f"{name}-")).allowed
    assert not (await limiter.decide(quotas(2, concurrency=1), "d-")).allowed
    places.give_back([PLACES], "a-1")
    places.give_back([PLACES], "b-1")
    await places.finish()
    assert not (await limiter.decide(quotas(2, concurrency=1), "d-")).allowed
    places.give_back([PLACES], "c-1")
    await places.finish()
    assert (await limiter.decide(quotas(2, concurrency=1), "d-")).allowed


async def test_it_stands_beside_limits_of_any_algorithm(settings: Settings, cache: Redis) -> None:
    limits = [{"limit": 3, "window_seconds": 60, "algorithm": "sliding_window"}]
    charges = quotas(limit=100, window_seconds=1, limits=limits, concurrency=2)
    scripts = counter_scripts(settings, 5000)
    limiter = RedisLimiter(scripts)
    try:
        verdicts = [await limiter.decide(charges, f"{name}-") for name in "abc"]
        assert [verdict.allowed for verdict in verdicts] == [True, True, False]
        assert [state.refused for state in verdicts[-1].states] == [False, False, True]
        await cache.delete(PLACES)
        verdicts = [await limiter.decide(charges, f"{name}-") for name in "de"]
        assert [verdict.allowed for verdict in verdicts] == [True, False]
        assert [state.refused for state in verdicts[-1].states] == [True, False, False]
        assert await cache.zrange(PLACES, 0, -1) == [b"d-1"], "who is refused takes no place"
    finally:
        await scripts.aclose()
