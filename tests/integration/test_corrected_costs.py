"""Answers that state what their requests have really cost: the counters are corrected, once, in both directions."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from app.redis_wire.scripts import Scripts
from app.settings import Settings
from tests.support.edge_in_process import EVERY_ADDRESS, EVERY_USER, Edge, Exchange, Handler, edge_running, in_force
from tests.support.fault_proxy import Fault, proxied
from tests.support.waiting import eventually

X_TOKENS = {"response_header": "X-Tokens-Used", "default": 20}
HUNDRED = {"limit": 100, "window_seconds": 360_000}


@pytest.fixture
async def edge(settings: Settings, cache: Redis, counting: Scripts) -> AsyncIterator[Edge]:
    await counting.load()  # the first correction would come later than the look that follows it
    async with edge_running(settings, cache) as running:
        yield running


def says(*headers: str, trailers: tuple[str, ...] = (), status: int = 200) -> Handler:
    """An app server that answers with these headers and trailers."""
    lines = [f"HTTP/1.1 {status} X", "Transfer-Encoding: chunked", *headers, "", "2", "ok", "0", *trailers, "", ""]
    return says_raw("\r\n".join(lines).encode())


def says_raw(raw: bytes) -> Handler:
    async def handle(exchange: Exchange) -> None:
        await exchange.answer(raw)

    return handle


async def rule_in_force(edge: Edge, who: str, **fields: object) -> None:
    await edge.rule("tokens", **EVERY_USER, **({**HUNDRED, "cost": X_TOKENS} | fields))
    await in_force(edge, "tokens", who)


async def remaining(edge: Edge, who: str) -> int:
    return int((await edge.get("/_penstock/limits", who)).json()["limits"][0]["remaining"])


async def wait_s(edge: Edge, who: str) -> float:
    return float((await edge.get("/_penstock/limits", who)).json()["limits"][0]["wait_seconds"])


@pytest.mark.parametrize(
    ("headers", "trailers", "left"),
    [
        (["X-Tokens-Used: 5"], [], 95),
        (["x-tokens-used: 50"], [], 50),
        (["X-Tokens-Used: 20"], [], 80),
        (["X-Tokens-Used: 0"], [], 100),
        (["X-Tokens-Used: 0007"], [], 93),
        ([], ["X-Tokens-Used: 5"], 95),
        (["Trailer: X-Tokens-Used"], ["X-Tokens-Used: 50"], 50),
        (["X-Tokens-Used: 5"], ["X-Tokens-Used: 5"], 95),
        (["X-Tokens-Used: 5", "X-Tokens-Used: 5"], [], 95),
        ([], [], 80),
        (["X-Tokens-Used: "], [], 80),
        (["X-Tokens-Used: -5"], [], 80),
        (["X-Tokens-Used: +5"], [], 80),
        (["X-Tokens-Used: 5.0"], [], 80),
        (["X-Tokens-Used: five"], [], 80),
        (["X-Tokens-Used: 5, 5"], [], 80),
        (["X-Tokens-Used: 1000000001"], [], 80),
        (["X-Tokens-Used: " + "9" * 5000], [], 80),
        (["X-Tokens-Used: 5", "X-Tokens-Used: 6"], [], 80),
        (["X-Tokens-Used: 5"], ["X-Tokens-Used: 6"], 80),
        (["X-Tokens-Used: 5"], ["X-Tokens-Used: many"], 80),
        ([], ["X-Tokens-Used: 5", "X-Tokens-Used: 6"], 80),
        ([], ["X-Other: 5"], 80),
    ],
)
async def test_what_an_answer_states_is_what_its_request_has_cost(
    edge: Edge, headers: list[str], trailers: list[str], left: int
) -> None:
    who = edge.bearer("u")
    await rule_in_force(edge, who)
    edge.app_server.handler = says(*headers, trailers=tuple(trailers))
    answer = await edge.get("/", who)
    assert (answer.status, "x-tokens-used" in answer.headers) == (200, False)
    assert b"okens" not in answer.body
    assert await remaining(edge, who) == left


@pytest.mark.parametrize("status", [200, 404, 429, 500])
async def test_an_answer_counts_whatever_its_status_is(edge: Edge, status: int) -> None:
    who = edge.bearer("u")
    await rule_in_force(edge, who)
    edge.app_server.handler = says("X-Tokens-Used: 1", status=status)
    assert (await edge.get("/", who)).status == status
    assert await remaining(edge, who) == 99


async def test_clients_see_the_header_where_the_rule_says_so(edge: Edge) -> None:
    who = edge.bearer("u")
    await rule_in_force(edge, who, cost=X_TOKENS | {"expose": True})
    edge.app_server.handler = says("X-Tokens-Used: 5", "X-Other: 1")
    answer = await edge.get("/", who)
    assert (answer.headers["x-tokens-used"], answer.headers["x-other"]) == ("5", "1")
    assert await remaining(edge, who) == 95
    assert (await edge.get("/")).headers["x-tokens-used"] == "5", "a request that the rule is not about"


async def test_no_interim_answer_shows_what_is_hidden(edge: Edge) -> None:
    who = edge.bearer("u")
    await rule_in_force(edge, who)
    early = b"HTTP/1.1 103 Early Hints\r\nX-Tokens-Used: 5\r\nLink: </a>\r\n\r\n"
    edge.app_server.handler = says_raw(early + b"HTTP/1.1 200 OK\r\nX-Tokens-Used: 6\r\nContent-Length: 2\r\n\r\nok")
    raw = await edge.raw(f"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{who}\r\n\r\n".encode())
    assert b"103 Early Hints\r\nlink: </a>\r\n" in raw
    assert b"x-tokens-used" not in raw.lower()
    assert await remaining(edge, who) == 94


async def test_a_debt_delays_what_follows(edge: Edge) -> None:
    who = edge.bearer("u")
    await rule_in_force(edge, who)
    edge.app_server.handler = says("X-Tokens-Used: 300")
    assert (await edge.get("/", who)).status == 200
    assert await remaining(edge, who) == 0
    refused = await edge.get("/", who)
    assert refused.status == 429
    assert int(refused.headers["retry-after"]) == pytest.approx(220 * 3600, abs=3600)
    assert await wait_s(edge, who) == pytest.approx(220 * 3600, abs=3600)


async def test_units_that_were_given_back_are_not_refused_from_memory(edge: Edge) -> None:
    who, done = edge.bearer("u"), asyncio.Event()
    await rule_in_force(edge, who, cost=X_TOKENS | {"default": 100})

    async def answers_later(exchange: Exchange) -> None:
        await done.wait()
        await exchange.answer(b"HTTP/1.1 200 OK\r\nX-Tokens-Used: 0\r\nContent-Length: 2\r\n\r\nok")

    edge.app_server.handler = answers_later
    first = asyncio.create_task(edge.get("/", who))

    async def arrived() -> bool:
        return bool(edge.app_server.arrived)

    await eventually(arrived, 30, "the request has arrived")
    assert [(await edge.get("/", who)).status for _ in range(3)] == [429] * 3
    done.set()
    assert (await first).status == 200
    assert (await edge.get("/", who)).status == 200


async def test_both_ways_together(edge: Edge) -> None:
    who = edge.bearer("u")
    await rule_in_force(edge, who, cost={"header": "X-Cost", "default": 2, "max": 50, **X_TOKENS})
    edge.app_server.handler = says("X-Tokens-Used: 30")
    assert (await edge.get("/", who, "X-Cost: 50")).status == 200
    assert await remaining(edge, who) == 70
    edge.app_server.handler = says()
    assert (await edge.get("/", who, "X-Cost: 50")).status == 200
    assert await remaining(edge, who) == 20, "what it stated itself stands where the answer states nothing"


async def test_each_rule_is_corrected_by_its_own_header(edge: Edge) -> None:
    who = edge.bearer("u")
    await rule_in_force(edge, who)
    await edge.rule("bytes", **EVERY_ADDRESS, **HUNDRED, cost={"response_header": "X-Bytes", "expose": True})
    await in_force(edge, "bytes", who)
    edge.app_server.handler = says("X-Tokens-Used: 5", "X-Bytes: 7")
    answer = await edge.get("/", who)
    assert ("x-tokens-used" in answer.headers, answer.headers["x-bytes"]) == (False, "7")
    limits = (await edge.get("/_penstock/limits", who)).json()["limits"]
    assert [(one["rule_id"], one["remaining"]) for one in limits] == [("tokens", 95), ("bytes", 93)]


async def test_a_shadow_rule_is_corrected_only_where_it_was_charged_and_hides_nothing(edge: Edge, cache: Redis) -> None:
    who = edge.bearer("u")
    await edge.rule("shadow", **EVERY_USER, **HUNDRED, cost=X_TOKENS | {"default": 40}, shadow=True)
    await edge.rule("known", **EVERY_ADDRESS, limit=1000, window_seconds=1)
    await in_force(edge, "known", who)
    edge.app_server.handler = says("X-Tokens-Used: 50")
    answers = [await edge.get("/", who) for _ in range(3)]
    assert [(answer.status, answer.headers["x-tokens-used"]) for answer in answers] == [(200, "50")] * 3
    tat, _, _, _ = (await cache.get("counter:{shadow|user:u}") or b"").split(maxsplit=3)
    owed_s = int(tat) / 1e6 - (await cache.time())[0]
    assert owed_s == pytest.approx(100 * 3600, abs=100), "the third was refused in the shadow, and so not charged"


async def test_the_correction_comes_although_the_client_has_gone(edge: Edge) -> None:
    who = edge.bearer("u")
    await rule_in_force(edge, who)

    async def streams(exchange: Exchange) -> None:
        await exchange.answer(b"HTTP/1.1 200 OK\r\nX-Tokens-Used: 70\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
        while True:  # until the edge closes the connection
            await exchange.answer(b"2\r\nok\r\n")
            await asyncio.sleep(0.01)

    edge.app_server.handler = streams
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    writer.write(f"GET / HTTP/1.1\r\nHost: a\r\n{who}\r\n\r\n".encode())
    assert b"ok" in await reader.readuntil(b"ok"), "no byte of the answer waits for its end"
    assert await remaining(edge, who) == 80
    writer.transport.abort()

    async def corrected() -> bool:
        return await remaining(edge, who) == 30

    await eventually(corrected, 30, "the counter is corrected")


async def test_the_correction_comes_although_the_app_server_broke_off(edge: Edge) -> None:
    who = edge.bearer("u")
    await rule_in_force(edge, who)
    edge.app_server.handler = says_raw(b"HTTP/1.1 200 OK\r\nX-Tokens-Used: 70\r\nContent-Length: 9\r\n\r\nok")
    await edge.get("/", who)
    assert await remaining(edge, who) == 30
    edge.app_server.handler = says_raw(b"")
    assert (await edge.get("/", who)).status == 502
    assert await remaining(edge, who) == 10, "without an answer what it was charged stands"


async def test_many_answers_at_once_are_corrected_together(edge: Edge, cache: Redis) -> None:
    who = edge.bearer("u")
    await rule_in_force(edge, who, limit=10_000)
    edge.app_server.handler = says("X-Tokens-Used: 3")
    await edge.get("/", who)
    before = int((await cache.info("commandstats"))["cmdstat_evalsha"]["calls"])
    answers = await asyncio.gather(*(edge.get("/", who) for _ in range(200)))
    assert {answer.status for answer in answers} == {200}
    looks = 0

    async def corrected() -> bool:
        nonlocal looks
        looks += 1
        return await remaining(edge, who) == 10_000 - 201 * 3

    await eventually(corrected, 30, "all answers are corrected")
    calls = int((await cache.info("commandstats"))["cmdstat_evalsha"]["calls"]) - before - looks
    assert 200 < calls < 400, "a decision for each, and fewer corrections"


async def test_what_an_edge_has_counted_alone_is_not_given_back_to_the_counters(
    settings: Settings, cache: Redis
) -> None:
    done = asyncio.Event()

    async def answers_later(exchange: Exchange) -> None:
        await done.wait()
        await exchange.answer(b"HTTP/1.1 200 OK\r\nX-Tokens-Used: 0\r\nContent-Length: 2\r\n\r\nok")

    async with (
        proxied(settings.cache_redis_url) as (url, proxy),
        edge_running(settings, cache, cache_redis_url=url) as edge,
    ):
        who = edge.bearer("u")
        await rule_in_force(edge, who)
        edge.app_server.handler = says()
        assert (await edge.get("/", who)).status == 200
        edge.app_server.handler = answers_later
        await proxy.set(Fault.REFUSE)
        waiting = asyncio.create_task(edge.get("/", who))

        async def arrived() -> bool:
            return len(edge.app_server.arrived) == 2

        await eventually(arrived, 30, "the edge has allowed it alone")
        await proxy.set(Fault.NONE)

        async def counters_are_back() -> bool:
            return (await edge.get("/_penstock/limits", who)).status == 200

        await eventually(counters_are_back, 30, "the counters are back")
        done.set()
        answer = await waiting
        assert (answer.status, "x-tokens-used" in answer.headers) == (200, False)
        assert await remaining(edge, who) == 80
