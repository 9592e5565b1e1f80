"""What passes through an edge, byte for byte, and what an edge refuses to pass."""

import asyncio
import hashlib
import socket
import struct
import time
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from itertools import repeat

import pytest
from redis.asyncio import Redis

from app.settings import Settings
from tests.support.edge_in_process import OK, Edge, Exchange, edge_running, said
from tests.support.waiting import eventually

UPSTREAM_CUT = "penstock_upstream_errors_total"
DECISIONS = "penstock_requests_total"


@pytest.fixture
async def edge(settings: Settings, cache: Redis) -> AsyncIterator[Edge]:
    async with edge_running(settings, cache) as running:
        yield running


def request(line: str, *headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join([line, "Host: edge.test", "Connection: close", *headers, "", ""]).encode() + body


def answering(edge: Edge, raw: bytes) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.answer(raw)

    edge.app_server.handler = handler


async def test_nothing_is_added_but_what_the_contract_names(edge: Edge) -> None:
    await edge.raw(request("GET /x HTTP/1.1"))
    assert {name for name, _ in edge.app_server.arrived[0].headers} == {
        b"host",
        b"x-forwarded-for",
        b"x-forwarded-proto",
        b"x-forwarded-host",
        b"x-real-ip",
        b"x-request-id",
    }


@pytest.mark.parametrize(
    "target", ['/a|b"c<d>^{}`', "/a%zz", "/a?b?c", "/a?x=%2F", "/a;b=c?d", "/a%2Fb", "//a//b", "/a?b=[1]", "/a?%00"]
)
async def test_the_target_goes_as_it_came(edge: Edge, target: str) -> None:
    answer = said(await edge.raw(request(f"GET {target} HTTP/1.1")))
    assert answer.status == 200
    assert edge.app_server.arrived[0].head.split(b" ")[1] == target.encode()


async def test_header_values_go_as_they_came(edge: Edge) -> None:
    await edge.raw(request("GET / HTTP/1.1", "X-Name: Zoë ☃"))
    assert (b"x-name", "Zoë ☃".encode()) in edge.app_server.arrived[0].headers


async def test_no_forwarding_header_of_any_name_is_believed(edge: Edge) -> None:
    await edge.get("/", "X-Forwarded-User: admin", "X-Forwarded-Port: 1", "X_Forwarded_User: admin", "Forwarded: for=6")
    seen = {name for name, _ in edge.app_server.arrived[0].headers}
    assert not {b"x-forwarded-user", b"x-forwarded-port", b"x_forwarded_user", b"forwarded"} & seen


async def test_a_body_of_known_length_keeps_it(edge: Edge) -> None:
    async def handler(exchange: Exchange) -> None:
        assert await exchange.reader.readexactly(3) == b"abc"
        await exchange.answer(OK)

    edge.app_server.handler = handler
    answer = said(await edge.raw(request("POST / HTTP/1.1", "Content-Length: 3", body=b"abc")))
    headers = dict(edge.app_server.arrived[0].headers)
    assert (answer.status, headers[b"content-length"]) == (200, b"3")
    assert b"transfer-encoding" not in headers


async def test_large_bodies_stream_down_whole(edge: Edge) -> None:
    block = bytes(range(256)) * 256
    blocks = 320  # 20 MiB

    async def handler(exchange: Exchange) -> None:
        await exchange.answer(f"HTTP/1.1 200 OK\r\nContent-Length: {len(block) * blocks}\r\n\r\n".encode())
        for one in repeat(block, blocks):
            await exchange.answer(one)

    edge.app_server.handler = handler
    answer = said(await edge.raw(request("GET / HTTP/1.1")))
    assert hashlib.sha256(answer.body).digest() == hashlib.sha256(block * blocks).digest()


async def test_an_answer_has_a_date(edge: Edge) -> None:
    """RFC 9110, 6.6.1: a recipient with a clock adds the one that is missing."""
    before = time.time()
    answer = said(await edge.raw(request("GET / HTTP/1.1")))
    at = parsedate_to_datetime(answer.headers["date"]).timestamp()
    assert before - 1 <= at <= time.time()
    for theirs in ("Tue, 01 Jan 2030 00:00:00 GMT", "nonsense"):
        answering(edge, f"HTTP/1.1 200 OK\r\nDate: {theirs}\r\nContent-Length: 0\r\n\r\n".encode())
        raw = await edge.raw(request("GET / HTTP/1.1"))
        assert [line for line in raw.split(b"\r\n") if line.startswith(b"date")] == [b"date: " + theirs.encode()]


async def test_interim_answers_pass_on_at_once_except_100(edge: Edge) -> None:
    read_first = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: X-Hop\r\nX-Hop: 1\r\nPenstock-X: 1\r\n\r\n"
        await exchange.answer(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + hints)
        await read_first.wait()
        await exchange.answer(OK)

    edge.app_server.handler = handler
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    writer.write(request("GET / HTTP/1.1"))
    expected = b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n"
    assert await asyncio.wait_for(reader.readexactly(len(expected)), 30) == expected
    read_first.set()
    assert said(await asyncio.wait_for(reader.read(), 30)).status == 200
    writer.close()
    assert (await edge.raw(request("GET / HTTP/1.0"))).startswith(b"HTTP/1.1 200"), "HTTP/1.0 has none"


@pytest.mark.parametrize("framing", ["Content-Length: 8388608", "Transfer-Encoding: chunked"])
async def test_an_early_answer_to_a_large_upload_is_not_lost(edge: Edge, framing: str) -> None:
    """The app server closes the connection with unread input, which resets it."""

    async def handler(exchange: Exchange) -> None:
        await exchange.answer(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")

    edge.app_server.handler = handler
    chunked, piece = "chunked" in framing, b"x" * 65_536
    for _ in range(40):
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(request("POST / HTTP/1.1", framing))
        for _ in range(128):
            writer.write(b"10000\r\n" + piece + b"\r\n" if chunked else piece)
            await writer.drain()
        writer.write(b"0\r\n\r\n" if chunked else b"")
        answer = said(await asyncio.wait_for(reader.read(), 30))
        writer.close()
        assert (answer.status, answer.body) == (413, b"big")


async def test_an_answer_passes_on_before_it_has_ended(edge: Edge) -> None:
    read_first = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        await exchange.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\none")
        await read_first.wait()
        await exchange.answer(b"two")

    edge.app_server.handler = handler
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    writer.write(request("GET / HTTP/1.1"))
    assert (await asyncio.wait_for(reader.readuntil(b"one"), 30)).endswith(b"one")
    read_first.set()
    assert await asyncio.wait_for(reader.read(), 30) == b"two"
    writer.close()


async def test_a_slow_upload_is_no_slow_app_server(settings: Settings, cache: Redis) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.reader.readexactly(8)
        await exchange.answer(OK)

    async with edge_running(settings, cache, upstream_read_timeout_s=1.0) as edge:
        edge.app_server.handler = handler
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(request("POST / HTTP/1.1", "Content-Length: 8"))
        for _ in range(8):
            await asyncio.sleep(0.2)
            writer.write(b"x")
        assert said(await asyncio.wait_for(reader.read(), 30)).status == 200
        writer.close()


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
    ],
    ids=["304 with a length", "204", "HEAD"],
)
async def test_answers_without_a_body(edge: Edge, raw: bytes, caplog: pytest.LogCaptureFixture) -> None:
    answering(edge, raw)
    method = "HEAD" if raw.startswith(b"HTTP/1.1 200") else "GET"
    answer = said(await edge.raw(request(f"{method} / HTTP/1.1")))
    assert (answer.status, answer.body) == (int(raw[9:12]), b"")
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\x01b\r\n\r\n",
    ],
    ids=["none", "nonsense", "status 999", "control character"],
)
async def test_no_usable_answer_is_a_502_and_the_request_was_sent_once(edge: Edge, raw: bytes) -> None:
    answering(edge, raw)
    for method in ("GET", "PUT", "DELETE"):
        answer = said(await edge.raw(request(f"{method} /{method} HTTP/1.1")))
        assert (answer.status, answer.headers["content-type"]) == (502, "application/problem+json")
    assert len(edge.app_server.arrived) == 3, "what may have been acted on is not sent again"
    assert edge.counted(UPSTREAM_CUT, kind="UpstreamCut" if raw else "UpstreamReset") == 3


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nonly\r\n",
    ],
    ids=["length", "chunked"],
)
async def test_an_answer_cut_short_is_not_taken_for_whole(edge: Edge, raw: bytes) -> None:
    answering(edge, raw)
    answer = await edge.raw(request("GET / HTTP/1.1"))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert not answer.endswith(b"0\r\n\r\n"), "no last chunk"
    assert len(said(answer).body) < 100


async def test_a_client_that_leaves_takes_its_request_along(edge: Edge) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.reader.readexactly(1)  # raises once the edge has cut it

    edge.app_server.handler = handler
    await _leave(edge, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", reset=True)


async def test_a_client_that_leaves_in_its_upload_is_not_the_app_servers_fault(edge: Edge) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.reader.readexactly(1000)

    edge.app_server.handler = handler
    await _leave(edge, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")
    assert edge.counted(UPSTREAM_CUT, kind="UpstreamCut") == 0


async def _leave(edge: Edge, raw: bytes, *, reset: bool = False) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    if reset:  # closing alone looks like the end of a client's requests, whose answers it may wait for
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.write(raw)

    async def arrived() -> bool:
        return bool(edge.app_server.arrived)

    async def noticed() -> bool:
        return edge.counted(DECISIONS, decision="client_gone") == 1

    await eventually(arrived, 30, "the request is with the app server")
    writer.close()
    await asyncio.wait_for(edge.app_server.cut.wait(), 30)
    await eventually(noticed, 30, "the edge noticed")


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (request("CONNECT app.test:443 HTTP/1.1"), 405),
        (request("GET / HTTP/1.1", "Upgrade: websocket"), 501),
        (request("POST / HTTP/1.1", "Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"), 501),
        (request("POST / HTTP/1.1", "Transfer-Encoding: chunked", "Content-Length: 1", body=b"0\r\n\r\n"), 400),
        (request("POST / HTTP/1.1", "Content-Length: 1", "Content-Length: 1", body=b"x"), 400),
        (request("OPTIONS * HTTP/1.1"), 400),
        (b"GET /\xff HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 400),
        (request("GET /a/%2e%2e/b HTTP/1.1"), 400),
    ],
    ids=["CONNECT", "Upgrade", "gzip", "two framings", "two lengths", "asterisk", "not ASCII", "dots"],
)
async def test_what_is_never_passed_on(edge: Edge, raw: bytes, status: int) -> None:
    assert said(await edge.raw(raw)).status == status
    assert not edge.app_server.arrived
