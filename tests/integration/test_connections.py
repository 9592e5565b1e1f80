"""Client connections of a running edge: pipelining, slow clients, too many clients, and clients that disconnect."""

import asyncio
import re
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis

from app.settings import Settings
from tests.support.edge_in_process import OK, Edge, Exchange, edge_running
from tests.support.waiting import eventually

STATUSES = re.compile(rb"HTTP/1\.1 (\d{3}) ")
REFUSALS = "penstock_refusals_total"


@pytest.fixture
async def edge(settings: Settings, cache: Redis) -> AsyncIterator[Edge]:
    async with edge_running(settings, cache) as running:
        yield running


class Client:
    """One client connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, raw: bytes) -> None:
        self.writer.write(raw)
        await self.writer.drain()

    async def head(self) -> bytes:
        return await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 60)

    async def exactly(self, size: int) -> bytes:
        return await asyncio.wait_for(self.reader.readexactly(size), 60)

    async def rest(self) -> bytes:
        """Everything until the edge closes the connection."""
        return await asyncio.wait_for(self.reader.read(), 60)


@asynccontextmanager
async def connected(edge: Edge, **options: Any) -> AsyncIterator[Client]:  # noqa: ANN401 - of asyncio
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port, **options)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()


def get(target: str, *headers: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {target} HTTP/1.1", "Host: edge.test", *headers, "", ""]).encode()


def targets(edge: Edge) -> list[bytes]:
    return [exchange.head.split(b" ")[1] for exchange in edge.app_server.arrived]


def answering(edge: Edge, raw: bytes) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.answer(raw)

    edge.app_server.handler = handler


async def test_answers_come_in_the_order_of_their_requests(edge: Edge) -> None:
    async def handler(exchange: Exchange) -> None:
        target = exchange.head.split(b" ")[1]
        await exchange.answer(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(target), target))

    edge.app_server.handler = handler
    expected = [b"/%d" % n for n in range(40)]
    async with connected(edge) as client:
        await client.send(b"".join(get(target.decode()) for target in expected[:-1]))
        await client.send(get(expected[-1].decode(), "Connection: close"))
        answers = (await client.rest()).split(b"HTTP/1.1 200 OK")[1:]
    assert [answer.partition(b"\r\n\r\n")[2] for answer in answers] == expected
    assert targets(edge) == expected, "the requests of one connection are forwarded one after the other"


async def test_too_many_pipelined_requests_are_refused_after_the_responses_before(edge: Edge) -> None:
    async with connected(edge) as client:
        await client.send(get("/") * 500)
        answers = STATUSES.findall(await client.rest())
    assert answers == [b"200"] * (len(answers) - 1) + [b"429"]
    assert 128 <= len(answers) - 1 == len(edge.app_server.arrived)


@pytest.mark.parametrize(
    ("method", "raw", "head", "body"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"content-length: 5", b""),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"HTTP/1.1 200", b""),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 204", b""),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b"HTTP/1.1 304", b""),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"content-length: 0", b""),
        ("GET", b"HTTP/1.1 200 OK\r\n\r\nuntil the end", b"chunked", b"d\r\nuntil the end\r\n0\r\n\r\n"),
        (
            "GET",
            b"HTTP/1.1 404 Nope\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
            b"chunked",
            b"1\r\na\r\n0\r\n\r\n",
        ),
        ("GET", b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"HTTP/1.1 200", b"ok"),
    ],
    ids=["HEAD", "HEAD chunked", "204", "304", "empty", "until the end", "chunked", "100 first"],
)
async def test_a_connection_is_kept_after_every_kind_of_response(
    edge: Edge, method: str, raw: bytes, head: bytes, body: bytes
) -> None:
    answering(edge, raw)
    async with connected(edge) as client:
        for _ in range(3):
            await client.send(get("/", method=method))
            assert head in await client.head()
            assert await client.exactly(len(body)) == body
        answering(edge, OK)
        await client.send(get("/", "Connection: close"))
        assert STATUSES.findall(await client.rest()) == [b"200"]


async def test_http_1_0_gets_no_chunks_and_the_connection_is_closed(edge: Edge) -> None:
    answering(edge, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    async with connected(edge) as client:
        await client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        head, _, body = (await client.rest()).partition(b"\r\n\r\n")
    assert b"connection: close" in head
    assert b"transfer-encoding" not in head
    assert body == b"abc"


async def test_100_continue_is_sent_once_the_body_is_needed(edge: Edge) -> None:
    async def handler(exchange: Exchange) -> None:
        assert await exchange.reader.readexactly(3) == b"abc"
        await exchange.answer(OK)

    edge.app_server.handler = handler
    async with connected(edge) as client:
        await client.send(get("/", "Content-Length: 3", "Expect: 100-continue", method="POST"))
        assert await client.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(b"abc")
        assert (await client.head()).startswith(b"HTTP/1.1 200")
        assert await client.exactly(2) == b"ok"
        answering(edge, OK)
        await client.send(get("/", "Connection: close", "Expect: 100-continue"))
        assert STATUSES.findall(await client.rest()) == [b"200"], "there is no body to be continued with"
    assert b"expect" not in edge.app_server.arrived[0].head.lower()


async def test_the_body_of_a_refused_request_is_discarded_to_keep_the_connection(edge: Edge) -> None:
    await edge.rule("one", key_type="ip", key_value="*", limit=1, window_seconds=1000)
    async with connected(edge) as client:
        await client.send(get("/"))
        await client.head()
        await client.exactly(2)
        for _ in range(2):
            await client.send(get("/", "Content-Length: 100000", method="POST"))
            refused = await client.head()
            assert STATUSES.findall(refused) == [b"429"]
            assert b"connection: close" not in refused
            await client.exactly(int(re.findall(rb"content-length: (\d+)", refused)[0]))
            await client.send(b"x" * 100_000)
    assert len(edge.app_server.arrived) == 1


async def test_the_large_body_of_a_refused_request_is_not_read_and_the_client_gets_the_refusal(edge: Edge) -> None:
    await edge.rule("one", key_type="ip", key_value="*", limit=1, window_seconds=1000)
    await edge.get("/")
    async with connected(edge) as client:
        await client.send(get("/", f"Content-Length: {1 << 26}", method="POST"))
        refused = await client.head()
        assert STATUSES.findall(refused) == [b"429"]
        with pytest.raises(ConnectionError):
            for _ in range(1 << 14):
                await client.send(b"x" * (1 << 16))
                await asyncio.sleep(0)


async def test_a_body_that_is_too_large_is_413_and_never_complete_for_the_app_server(
    settings: Settings, cache: Redis
) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.reader.readuntil(b"0\r\n\r\n")
        await exchange.answer(OK)

    async with edge_running(settings, cache, max_body_bytes=1000) as edge:
        edge.app_server.handler = handler
        assert STATUSES.findall(await edge.raw(get("/", "Content-Length: 1001", method="POST"))) == [b"413"]
        assert not edge.app_server.arrived
        chunks = b"1f4\r\n" + b"a" * 500 + b"\r\n"
        async with connected(edge) as client:
            await client.send(get("/", "Transfer-Encoding: chunked", method="POST") + chunks * 2)

            async def arrived() -> bool:
                return bool(edge.app_server.arrived)

            await eventually(arrived, 30, "the app server has got the head")
            await client.send(b"1\r\na\r\n")
            assert STATUSES.findall(await client.rest()) == [b"413"]
        await asyncio.wait_for(edge.app_server.cut.wait(), 30)


async def test_pipelined_requests_of_a_client_that_disconnects_are_dropped(edge: Edge) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.reader.readexactly(1)  # raises once the edge has closed the connection

    edge.app_server.handler = handler
    async with connected(edge) as client:
        await client.send(get("/1") + get("/2"))

        async def arrived() -> bool:
            return bool(edge.app_server.arrived)

        await eventually(arrived, 30, "the app server has got the first request")
        reset = struct.pack("ii", 1, 0)
        client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
    await asyncio.wait_for(edge.app_server.cut.wait(), 30)
    assert targets(edge) == [b"/1"]


async def test_slow_clients_are_disconnected_and_do_not_delay_others(settings: Settings, cache: Redis) -> None:
    """A thousand clients send one byte per second, in their heads and in their bodies."""

    async def handler(exchange: Exchange) -> None:
        if b"/slow" in exchange.head:
            await exchange.reader.readexactly(1000)
        await exchange.answer(OK)

    limits = {"header_timeout_s": 3.0, "stall_timeout_s": 3.0, "min_bytes_per_s": 100}
    async with edge_running(settings, cache, **limits) as edge:
        edge.app_server.handler = handler
        assert (await edge.get("/quick")).status == 200, "the rules are known"
        slow_head = get("/slow", "A: " + "a" * 1000)
        slow_body = get("/slow", "Content-Length: 1000", method="POST") + b"x" * 1000
        slowly = [
            asyncio.create_task(_drip(edge, *((slow_head, 1) if number % 2 else (slow_body, len(slow_body) - 1000))))
            for number in range(1000)
        ]
        answered = 0
        while not all(task.done() for task in slowly):
            assert (await edge.get("/quick")).status == 200
            answered += 1
        assert answered > 0
        answers = [STATUSES.findall(task.result()) for task in slowly]
        assert Counter(map(tuple, answers)).keys() <= {(b"408",), ()}, Counter(map(tuple, answers))
        assert edge.counted(REFUSALS, status="408") == 1000
        assert b"/slow" in targets(edge)


async def _drip(edge: Edge, raw: bytes, at_once: int) -> bytes:
    """Send the first bytes at once and then one per second; return what the edge sends until it closes."""
    async with connected(edge) as client:
        await client.send(raw[:at_once])
        answer = asyncio.create_task(client.rest())
        try:
            for byte in raw[at_once:]:
                await asyncio.wait([answer], timeout=1)
                if answer.done():
                    break
                await client.send(bytes([byte]))
            return await answer
        except ConnectionError:
            return b""
        finally:
            answer.cancel()


async def test_a_head_must_be_complete_in_time(settings: Settings, cache: Redis) -> None:
    async with edge_running(settings, cache, header_timeout_s=0.5) as edge:
        async with connected(edge) as client:
            await client.send(b"GET / HTTP/1.1\r\nHost: edge.test\r\n")
            assert STATUSES.findall(await client.rest()) == [b"408"]
        async with connected(edge) as client:
            assert await client.rest() == b"", "a client that has sent nothing gets no response"
        async with connected(edge) as client:  # a second request on the same connection
            await client.send(get("/") + b"GET ")
            assert STATUSES.findall(await client.rest()) == [b"200", b"408"]


async def test_a_body_must_make_progress(settings: Settings, cache: Redis) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.reader.readexactly(1000)

    async with edge_running(settings, cache, stall_timeout_s=0.5, min_bytes_per_s=10) as edge:
        edge.app_server.handler = handler
        async with connected(edge) as client:
            await client.send(get("/", "Content-Length: 1000", method="POST") + b"x" * 500)
            assert STATUSES.findall(await client.rest()) == [b"408"]
        await asyncio.wait_for(edge.app_server.cut.wait(), 30)


async def test_an_idle_connection_is_closed(settings: Settings, cache: Redis) -> None:
    async with edge_running(settings, cache, keep_alive_s=0.5) as edge, connected(edge) as client:
        await client.send(get("/"))
        assert STATUSES.findall(await client.rest()) == [b"200"]


async def test_a_slow_app_server_does_not_make_its_client_a_slow_one(settings: Settings, cache: Redis) -> None:
    async def handler(exchange: Exchange) -> None:
        await asyncio.sleep(3.0)
        assert await exchange.reader.readexactly(1 << 20)
        await exchange.answer(OK)

    limits = {"header_timeout_s": 2.0, "stall_timeout_s": 2.0, "keep_alive_s": 2.0, "min_bytes_per_s": 1000}
    async with edge_running(settings, cache, **limits) as edge:
        edge.app_server.handler = handler
        body = b"x" * (1 << 20)
        answer = await edge.raw(get("/", "Connection: close", f"Content-Length: {len(body)}", method="POST") + body)
        assert STATUSES.findall(answer) == [b"200"]


async def test_a_broken_request_behind_a_slow_one_is_refused_once_and_in_its_turn(
    settings: Settings, cache: Redis
) -> None:
    """While it waits, no deadline may expire: nothing more is expected from the client."""

    async def handler(exchange: Exchange) -> None:
        await asyncio.sleep(3.0)
        await exchange.answer(OK)

    limits = {"header_timeout_s": 2.0, "stall_timeout_s": 2.0, "min_bytes_per_s": 1000}
    async with edge_running(settings, cache, **limits) as edge:
        edge.app_server.handler = handler
        broken = get("/broken", "Transfer-Encoding: chunked", method="POST") + b"nonsense\r\n\r\n"
        answer = await edge.raw(get("/slow") + broken)
        assert STATUSES.findall(answer) == [b"200", b"400"]
        assert edge.counted(REFUSALS, status="400") == 1
        assert STATUSES.findall(await edge.raw(get("/slow") + b"GET nonsense\r\n")) == [b"200", b"400"]
        assert edge.counted(REFUSALS, status="400") == 2
        assert targets(edge) == [b"/slow", b"/slow"]


async def test_a_client_that_does_not_read_its_response_is_disconnected(settings: Settings, cache: Redis) -> None:
    sent = 0

    async def handler(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.answer(f"HTTP/1.1 200 OK\r\nContent-Length: {1 << 30}\r\n\r\n".encode())
        for _ in range(1 << 14):
            await exchange.answer(b"x" * (1 << 16))
            sent += 1 << 16

    async with edge_running(settings, cache, stall_timeout_s=1.0) as edge:
        edge.app_server.handler = handler
        async with connected(edge, limit=1 << 10) as client:
            await client.send(get("/"))
            await asyncio.wait_for(edge.app_server.cut.wait(), 60)
        assert sent < 64 << 20, "the edge stops reading from the app server"


async def test_connections_above_the_limit_are_refused_and_the_others_still_work(
    settings: Settings, cache: Redis
) -> None:
    async with edge_running(settings, cache, max_connections=20) as edge:
        clients = [await asyncio.open_connection("127.0.0.1", edge.port) for _ in range(20)]
        for _, writer in clients:
            writer.write(get("/"))
        for reader, _ in clients:
            assert (await asyncio.wait_for(reader.readuntil(b"ok"), 30)).startswith(b"HTTP/1.1 200")
        for _ in range(300):
            assert STATUSES.findall(await _raw_or_nothing(edge, get("/"))) in ([b"503"], [])
        assert edge.counted(REFUSALS, status="503") > 0
        for reader, writer in clients:
            writer.write(get("/"))
            assert (await asyncio.wait_for(reader.readuntil(b"ok"), 30)).startswith(b"HTTP/1.1 200")
        for _, writer in clients:
            writer.close()

        async def is_accepted() -> bool:
            return STATUSES.findall(await _raw_or_nothing(edge, get("/", "Connection: close"))) == [b"200"]

        await eventually(is_accepted, 30, "a new connection is accepted")


async def _raw_or_nothing(edge: Edge, raw: bytes) -> bytes:
    try:
        return await edge.raw(raw)
    except ConnectionError:
        return b""
