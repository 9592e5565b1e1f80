"""A client that closes its side has asked, and gets its answers; one that is gone for good holds nothing."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from app.settings import Settings
from tests.support.edge_in_process import EVERY_ADDRESS, OK, Edge, Exchange, edge_running, in_force, said
from tests.support.waiting import eventually

GET = b"GET /%d HTTP/1.1\r\nHost: edge.test\r\n\r\n"
DECISIONS = "penstock_requests_total"


@pytest.fixture
async def edge(settings: Settings, cache: Redis) -> AsyncIterator[Edge]:
    async with edge_running(settings, cache, counters_timeout_ms=5000.0) as running:
        yield running


class SlowAppServer:
    """Answers once it is told to."""

    def __init__(self, edge: Edge) -> None:
        self.edge = edge
        self.answers = asyncio.Event()
        edge.app_server.handler = self._handle

    async def _handle(self, exchange: Exchange) -> None:
        await self.answers.wait()
        target = exchange.head.split(b" ")[1]
        await exchange.answer(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(target), target))

    async def has_been_asked(self) -> None:
        async def arrived() -> bool:
            return bool(self.edge.app_server.arrived)

        await eventually(arrived, 30, "the request is with the app server")


async def half_closed(edge: Edge, raw: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    writer.write(raw)
    writer.write_eof()
    return reader, writer


async def rest(reader: asyncio.StreamReader) -> bytes:
    return await asyncio.wait_for(reader.read(), 30)


@pytest.mark.parametrize("count", [1, 3, 20])
async def test_all_requests_are_answered_in_order_and_the_connection_is_closed(edge: Edge, count: int) -> None:
    app_server = SlowAppServer(edge)
    reader, writer = await half_closed(edge, b"".join(GET % n for n in range(count)))
    await app_server.has_been_asked()
    app_server.answers.set()
    answers = (await rest(reader)).split(b"HTTP/1.1 200 OK")[1:]
    writer.close()
    assert [answer.partition(b"\r\n\r\n")[2] for answer in answers] == [b"/%d" % n for n in range(count)]


async def test_a_request_with_a_body_is_answered(edge: Edge) -> None:
    async def handler(exchange: Exchange) -> None:
        body = await exchange.reader.readexactly(300_000)
        await exchange.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n%d" % len(body))

    edge.app_server.handler = handler
    head = b"POST / HTTP/1.1\r\nHost: edge.test\r\nContent-Length: 300000\r\n\r\n"
    reader, writer = await half_closed(edge, head + b"x" * 300_000)
    assert said(await rest(reader)).body == b"300000"
    writer.close()


async def test_a_refusal_and_a_deferral_are_answered(edge: Edge) -> None:
    await edge.rule("later", **EVERY_ADDRESS, limit=1, window_seconds=3600, on_limit="defer")
    await in_force(edge, "later")
    await edge.get("/")
    reader, writer = await half_closed(edge, GET % 1)
    assert said(await rest(reader)).status == 202
    writer.close()
    reader, writer = await half_closed(edge, b"GET / RTSP/1.0\r\nHost: edge.test\r\n\r\n")
    assert said(await rest(reader)).status == 400
    writer.close()


@pytest.mark.parametrize(
    "behind",
    [b"", b"GET / HT", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab", b"nonsense\r\n\r\n"],
    ids=["nothing", "half a head", "half a body", "nonsense"],
)
async def test_what_is_incomplete_has_no_answer_and_the_others_have_theirs(edge: Edge, behind: bytes) -> None:
    app_server = SlowAppServer(edge)
    reader, writer = await half_closed(edge, GET % 1 + GET % 2 + behind)
    await app_server.has_been_asked()
    app_server.answers.set()
    statuses = [part.split(b" ")[0] for part in (await rest(reader)).split(b"HTTP/1.1 ")[1:]]
    writer.close()
    assert statuses == [b"200", b"200"] + ([b"400"] if behind.startswith(b"nonsense") else [])
    assert len(edge.app_server.arrived) == 2


@pytest.mark.parametrize("raw", [b"", b"GET / HT"], ids=["nothing", "half a head"])
async def test_a_client_that_has_asked_nothing_is_closed(edge: Edge, raw: bytes) -> None:
    reader, writer = await half_closed(edge, raw)
    assert await rest(reader) == b""
    writer.close()


async def test_a_reset_after_half_closing_is_noticed_though_nothing_is_read(edge: Edge) -> None:
    app_server = SlowAppServer(edge)
    reader, writer = await half_closed(edge, GET % 1)
    await app_server.has_been_asked()
    assert not reader.at_eof()
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.close()

    async def noticed() -> bool:
        return edge.counted(DECISIONS, decision="client_gone") == 1

    await eventually(noticed, 30, "the request has ended with its client")


async def test_a_client_that_closed_both_sides_ends_what_is_streamed_to_it(edge: Edge) -> None:
    began = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        await exchange.answer(b"HTTP/1.1 200 OK\r\n\r\n")
        began.set()
        while True:
            await exchange.answer(b"x" * 1000)
            await asyncio.sleep(0.01)

    edge.app_server.handler = handler
    _, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    writer.write(GET % 1)
    await began.wait()
    writer.close()
    await asyncio.wait_for(edge.app_server.cut.wait(), 30)


async def test_connections_that_were_answered_are_gone(edge: Edge) -> None:
    """Both sides are closed without waiting: the edge learns it when it answers."""

    async def handler(exchange: Exchange) -> None:
        await asyncio.sleep(0.05)
        await exchange.answer(OK)

    edge.app_server.handler = handler
    for _ in range(20):
        _, writer = await half_closed(edge, GET % 1)
        writer.close()

    async def none_left() -> bool:
        return len(connections_of(edge.port)) == 0

    await eventually(none_left, 30, "the edge holds no connection")


def connections_of(port: int) -> list[str]:
    """The sockets of this process that a client is, or was, connected to."""
    lines = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    return [line[3] for line in lines if line[1].endswith(f":{port:04X}") and line[3] not in {"0A", "06"}]
