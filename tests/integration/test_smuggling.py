"""Ambiguous requests, sent by raw socket: neither they nor what follows them reaches the app server."""

import asyncio
import re
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from redis.asyncio import Redis

from app.settings import Settings
from tests.support.edge_in_process import OK, Edge, Exchange, edge_running
from tests.support.waiting import eventually

FIRST = b"GET /first HTTP/1.1\r\nHost: edge.test\r\n\r\n"
SECOND = b"GET /second HTTP/1.1\r\nHost: edge.test\r\n\r\n"
STATUSES = re.compile(rb"HTTP/1\.1 (\d{3}) ")


def post(*headers: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join([b"POST /bad HTTP/1.1", b"Host: edge.test", *headers, b"", body])


def get(*headers: bytes, line: bytes = b"GET /bad HTTP/1.1", host: bytes = b"Host: edge.test") -> bytes:
    return b"\r\n".join([line, *([host] if host else []), *headers, b"", b""])


def chunked(body: bytes, coding: bytes = b"Transfer-Encoding: chunked") -> bytes:
    return post(coding, body=body)


LAST = b"0\r\n\r\n"
OFFER = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__")
SMUGGLED = b"5c\r\n" + b"GET /smuggled HTTP/1.1\r\nHost: edge.test\r\n\r\n"

FRAMING = {
    "length then chunked": post(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=LAST),
    "chunked then length": post(b"Transfer-Encoding: chunked", b"Content-Length: 5", body=LAST),
    "chunked then length 0": post(b"Transfer-Encoding: chunked", b"Content-Length: 0", body=LAST),
    "two lengths": post(b"Content-Length: 0", b"Content-Length: 44", body=SMUGGLED),
    "two equal lengths": post(b"Content-Length: 1", b"Content-Length: 1", body=b"x"),
    "lengths in a list": post(b"Content-Length: 1, 1", body=b"x"),
    "length +1": post(b"Content-Length: +1", body=b"x"),
    "length -1": post(b"Content-Length: -1", body=b"x"),
    "length 0x1": post(b"Content-Length: 0x1", body=b"x"),
    "length 1e1": post(b"Content-Length: 1e1", body=b"x" * 10),
    "length 1_0": post(b"Content-Length: 1_0", body=b"x" * 10),
    "length 1 1": post(b"Content-Length: 1 1", body=b"x" * 11),
    "length 01": post(b"Content-Length: 01", body=b"x"),
    "length 1.0": post(b"Content-Length: 1.0", body=b"x"),
    "length of other digits": post("Content-Length: ١".encode(), body=b"x"),
    "length empty": post(b"Content-Length:", body=b"x"),
    "length of 64 bits": post(b"Content-Length: 18446744073709551615", body=b"x"),
    "length over 64 bits": post(b"Content-Length: 18446744073709551617", body=b"x"),
    "length with a quote": post(b'Content-Length: "1"', body=b"x"),
    "length with a parameter": post(b"Content-Length: 1;a", body=b"x"),
    "Content_Length": post(b"Content_Length: 5", body=b""),
    "Transfer_Encoding": post(b"Transfer_Encoding: chunked", body=b""),
    "length, space before the colon": post(b"Content-Length : 5", body=b"abcde"),
    "chunked, space before the colon": chunked(LAST, b"Transfer-Encoding : chunked"),
    "chunked, tab before the colon": chunked(LAST, b"Transfer-Encoding\t: chunked"),
    "chunked twice in a list": chunked(LAST, b"Transfer-Encoding: chunked, chunked"),
    "chunked twice": chunked(LAST, b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
    "chunked, then identity": chunked(LAST, b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"),
    "identity, then chunked": chunked(LAST, b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked"),
    "chunked not last": chunked(LAST, b"Transfer-Encoding: chunked, gzip"),
    "chunked after a vertical tab": chunked(LAST, b"Transfer-Encoding: \x0bchunked"),
    "chunked after a NUL": chunked(LAST, b"Transfer-Encoding: \0chunked"),
    "coding empty": chunked(LAST, b"Transfer-Encoding:"),
    "chunked, folded": chunked(LAST, b"Transfer-Encoding:\r\n chunked"),
    "chunked after a bare CR": chunked(LAST, b"X: a\rTransfer-Encoding: chunked"),
    "chunked after a bare LF": chunked(LAST, b"X: a\nTransfer-Encoding: chunked"),
    "chunked in HTTP/1.0": b"POST /bad HTTP/1.0\r\nHost: edge.test\r\nTransfer-Encoding: chunked\r\n\r\n" + LAST,
}
CODINGS = {
    "identity": chunked(b"", b"Transfer-Encoding: identity"),
    "chunked after a non-breaking space": chunked(LAST, b"Transfer-Encoding: \xa0chunked"),
    "chunked in quotes": chunked(LAST, b'Transfer-Encoding: "chunked"'),
    "chunked with a parameter": chunked(LAST, b"Transfer-Encoding: chunked;q=1"),
    "chunkedx": chunked(LAST, b"Transfer-Encoding: chunkedx"),
    "xchunked": chunked(LAST, b"Transfer-Encoding: xchunked"),
    "gzip, chunked": chunked(LAST, b"Transfer-Encoding: gzip, chunked"),
    "identity, chunked": chunked(LAST, b"Transfer-Encoding: identity, chunked"),
    "Upgrade": get(b"Connection: upgrade", b"Upgrade: websocket"),
    "Upgrade to one of several": get(b"Connection: upgrade", b"Upgrade: h2c, WebSocket/13"),
    "Upgrades in two lines": get(b"Connection: upgrade", b"Upgrade: h2c", b"Upgrade: websocket"),
    "Upgrade not named by Connection": get(b"Upgrade: websocket"),
}
CHUNKS = {
    "size 0x1": chunked(b"0x1\r\na\r\n" + LAST),
    "size +1": chunked(b"+1\r\na\r\n" + LAST),
    "size -1": chunked(b"-1\r\na\r\n" + LAST),
    "size 1_0": chunked(b"1_0\r\n" + b"a" * 16 + b"\r\n" + LAST),
    "space before the size": chunked(b" 1\r\na\r\n" + LAST),
    "space after the size": chunked(b"1 \r\na\r\n" + LAST),
    "tab after the size": chunked(b"1\t\r\na\r\n" + LAST),
    "no size": chunked(b"\r\na\r\n" + LAST),
    "no number": chunked(b"g\r\na\r\n" + LAST),
    "size over 64 bits": chunked(b"10000000000000001\r\na\r\n" + LAST),
    "extension empty": chunked(b"1;\r\na\r\n" + LAST),
    "extension with a bare LF": chunked(b"1;a\nb\r\na\r\n" + LAST),
    "extension with a bare CR": chunked(b"1;a\rb\r\na\r\n" + LAST),
    "extension with a NUL": chunked(b"1;a=\0\r\na\r\n" + LAST),
    "extension with a line break in quotes": chunked(b'1;a="\r\n"\r\na\r\n' + LAST),
    "size ends in a bare LF": chunked(b"1\na\r\n" + LAST),
    "size ends in a bare CR": chunked(b"1\ra\r\n" + LAST),
    "data ends in a bare LF": chunked(b"1\r\na\n" + LAST),
    "data ends in a bare CR": chunked(b"1\r\na\r" + LAST),
    "data without an end": chunked(b"1\r\na" + LAST),
    "data longer than its size": chunked(b"1\r\nab\r\n" + LAST),
    "last chunk ends in a bare LF": chunked(b"1\r\na\r\n0\n\n"),
    "trailers end in a bare LF": chunked(b"1\r\na\r\n0\r\n\n"),
    "a trailer that is none": chunked(b"1\r\na\r\n0\r\nX Y: 1\r\n\r\n"),
    "a length as a trailer": chunked(b"1\r\na\r\n0\r\nContent-Length: 5\r\n\r\n"),
    "a coding as a trailer": chunked(b"1\r\na\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n"),
}
LINES = {
    "bare LF after the request line": b"GET /bad HTTP/1.1\nHost: edge.test\r\n\r\n",
    "bare LF after a header": b"GET /bad HTTP/1.1\r\nHost: edge.test\nA: b\r\n\r\n",
    "bare LF at the end": b"GET /bad HTTP/1.1\r\nHost: edge.test\r\n\n",
    "bare LF everywhere": b"GET /bad HTTP/1.1\nHost: edge.test\n\n",
    "bare CR after the request line": b"GET /bad HTTP/1.1\rHost: edge.test\r\n\r\n",
    "bare CR in a value": get(b"A: a\rb"),
    "bare CR before a line's end": get(b"A: a\r"),
    "bare CR in a name": get(b"A\rB: a"),
    "bare CR after a colon": get(b"A:\r a"),
    "bare CR at the end": b"GET /bad HTTP/1.1\r\nHost: edge.test\r\n\r\r\n",
    "folded with a space": get(b"A: a\r\n b"),
    "folded with a tab": get(b"A: a\r\n\tb"),
    "folded first header": b"GET /bad HTTP/1.1\r\n Host: edge.test\r\nA: a\r\n\r\n",
    "white space alone": b"GET /bad HTTP/1.1\r\nHost: edge.test\r\n \r\n\r\n",
    "NUL in a value": get(b"A: a\0b"),
    "control character in a value": get(b"A: a\x01b"),
    "vertical tab in a value": get(b"A: a\x0bb"),
    "DEL in a value": get(b"A: a\x7fb"),
    "NUL in a name": get(b"A\0: a"),
    "control character in a name": get(b"A\x01: a"),
    "space in a name": get(b"A B: a"),
    "space before a colon": get(b"A : a"),
    "8 bits in a name": get(b"\xc3\xa4: a"),
    "parenthesis in a name": get(b"A(B): a"),
    "no name": get(b": a"),
    "no colon": get(b"ABC"),
}
REQUEST_LINES = {
    "no Host": get(host=b""),
    "two Hosts": get(b"Host: other.test"),
    "two equal Hosts": get(b"Host: edge.test"),
    "two Hosts in HTTP/1.0": get(b"Host: other.test", line=b"GET /bad HTTP/1.0"),
    "Host empty": get(host=b"Host:"),
    "Host with a path": get(host=b"Host: edge.test/x"),
    "Host with user information": get(host=b"Host: a@edge.test"),
    "Hosts in a list": get(host=b"Host: edge.test, other.test"),
    "Host with a space": get(host=b"Host: edge test"),
    "HTTP/0.9": b"GET /bad\r\n\r\n",
    "HTTP/0.9, said": get(line=b"GET /bad HTTP/0.9"),
    "HTTP/1.2": get(line=b"GET /bad HTTP/1.2"),
    "HTTP/1.10": get(line=b"GET /bad HTTP/1.10"),
    "HTTP/2.0": get(line=b"GET /bad HTTP/2.0"),
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "RTSP/1.0": get(line=b"GET /bad RTSP/1.0"),
    "RTSP/1.1": get(line=b"POST /bad RTSP/1.1"),
    "RTSP after spaces": get(line=b"GET   /bad   RTSP/1.0"),
    "RTSP after an empty line": b"\r\n" + get(line=b"GET /bad RTSP/1.0"),
    "RTSP, and HTTP in a header": get(b"X: GET /bad HTTP/1.0", line=b"GET /bad RTSP/1.0"),
    "RTSP's own method": get(line=b"DESCRIBE /bad RTSP/1.0"),
    "ICE/1.0": get(line=b"SOURCE /bad ICE/1.0"),
    "ICE/1.1": get(line=b"SOURCE /bad ICE/1.1"),
    "http in lower case": get(line=b"GET /bad http/1.1"),
    "TLS": b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03",
    "method in lower case": get(line=b"get /bad HTTP/1.1"),
    "unknown method": get(line=b"SMUGGLE /bad HTTP/1.1"),
    "space before the method": get(line=b" GET /bad HTTP/1.1"),
    "tabs": get(line=b"GET\t/bad\tHTTP/1.1"),
    "space after the version": get(line=b"GET /bad HTTP/1.1 "),
    "space in the target": get(line=b"GET /bad /x HTTP/1.1"),
    "tab in the target": get(line=b"GET /bad\tx HTTP/1.1"),
    "NUL in the target": get(line=b"GET /bad\0 HTTP/1.1"),
    "control character in the target": get(line=b"GET /bad\x01 HTTP/1.1"),
    "8 bits in the target": get(line=b"GET /bad\xff HTTP/1.1"),
    "fragment": get(line=b"GET /bad#/x HTTP/1.1"),
    "no path": get(line=b"GET bad HTTP/1.1"),
    "asterisk": get(line=b"OPTIONS * HTTP/1.1"),
    "absolute, another host": get(line=b"GET http://evil.test/bad HTTP/1.1"),
    "absolute, another port": get(line=b"GET http://edge.test:1/bad HTTP/1.1"),
    "absolute, user information": get(line=b"GET http://edge.test@evil.test/bad HTTP/1.1"),
    "absolute, another scheme": get(line=b"GET ftp://edge.test/bad HTTP/1.1"),
    "absolute, without a Host": get(line=b"GET http://edge.test/bad HTTP/1.1", host=b""),
    "absolute, no authority": get(line=b"GET http:///bad HTTP/1.1"),
}
METHODS = {
    "CONNECT": get(line=b"CONNECT edge.test:80 HTTP/1.1"),
    "CONNECT with a body": b"CONNECT edge.test:80 HTTP/1.1\r\nHost: edge.test\r\nContent-Length: 3\r\n\r\nabc",
}


async def read_whole_request(exchange: Exchange) -> None:
    """Read the body that the head announces, and respond."""
    headers = dict(exchange.headers)
    body = b""
    if b"chunked" in headers.get(b"transfer-encoding", b""):
        body = await exchange.reader.readuntil(LAST)
    elif length := int(headers.get(b"content-length", b"0")):
        body = await exchange.reader.readexactly(length)
    exchange.head += body
    await exchange.answer(OK)


@pytest.fixture
async def edge(settings: Settings, cache: Redis) -> AsyncIterator[Edge]:
    # On a busy machine the counters may be slow, which must not fail these tests.
    async with edge_running(settings, cache) as running:
        running.app_server.handler = read_whole_request
        yield running


def lines(edge: Edge) -> list[bytes]:
    """The request lines that reached the app server."""
    return [exchange.head.partition(b"\r\n")[0] for exchange in edge.app_server.arrived]


def bodies(edge: Edge) -> list[bytes]:
    return [exchange.head.partition(b"\r\n\r\n")[2] for exchange in edge.app_server.arrived]


def assert_refused(answer: bytes, status: bytes) -> None:
    head = answer.partition(b"\r\n\r\n")[0]
    assert head.startswith(b"HTTP/1.1 " + status)
    headers = head.lower().split(b"\r\n")
    assert {b"content-type: application/problem+json", b"cache-control: no-store", b"connection: close"} <= set(headers)


@pytest.mark.parametrize(
    ("cases", "status"),
    [
        (FRAMING, b"400"),
        (CODINGS, b"501"),
        (CHUNKS, b"400"),
        (LINES, b"400"),
        (REQUEST_LINES, b"400"),
        (METHODS, b"405"),
    ],
    ids=["framing", "codings", "chunks", "lines", "request lines", "methods"],
)
async def test_ambiguous_requests_are_refused_and_nothing_behind_them_is_read(
    edge: Edge, cases: dict[str, bytes], status: bytes
) -> None:
    for name, raw in cases.items():
        edge.app_server.arrived.clear()
        alone = await edge.raw(raw + SECOND)
        assert STATUSES.findall(alone) == [status], f"{name}: one response, and the connection is closed"
        assert_refused(alone, status)
        assert lines(edge) == [], name

        behind = await edge.raw(FIRST + raw + SECOND)
        assert STATUSES.findall(behind) == [b"200", status], f"{name}: responses are sent in the order of the requests"
        assert lines(edge) == [b"GET /first HTTP/1.1"], name


@pytest.mark.parametrize(
    ("raw", "line", "body"),
    [
        (b"\r\n" + get(), b"GET /bad HTTP/1.1", b""),
        (b"\n\r\r\n" + get(), b"GET /bad HTTP/1.1", b""),
        (get(line=b"GET  /bad   HTTP/1.1"), b"GET /bad HTTP/1.1", b""),
        (get(line=b"GET http://EDGE.test/bad?x=http:// HTTP/1.1"), b"GET /bad?x=http:// HTTP/1.1", b""),
        (get(line=b"GET https://edge.test?x HTTP/1.1"), b"GET /?x HTTP/1.1", b""),
        (get(line=b"GET http://edge.test HTTP/1.1"), b"GET / HTTP/1.1", b""),
        (get(line=b"GET //evil.test/bad HTTP/1.1"), b"GET //evil.test/bad HTTP/1.1", b""),
        (get(line=b"GET //a@evil.test:80/bad HTTP/1.1"), b"GET //a@evil.test:80/bad HTTP/1.1", b""),
        (post(b"Content-Length: \t3 \t", body=b"abc"), b"POST /bad HTTP/1.1", b"abc"),
        (get(b"Content-Length: 3") + b"abc", b"GET /bad HTTP/1.1", b"abc"),
        (chunked(b"3\r\nabc\r\n" + LAST, b"TRANSFER-ENCODING:CHUNKED "), b"POST /bad HTTP/1.1", b"abc"),
        (chunked(b'3;a=b;c="d e"\r\nabc\r\n' + LAST), b"POST /bad HTTP/1.1", b"abc"),
        (chunked(b"0000000000003\r\nabc\r\n000\r\n\r\n"), b"POST /bad HTTP/1.1", b"abc"),
        (chunked(b"1\r\na\r\n2\r\nbc\r\n0\r\nX-T: 1\r\nHost: evil.test\r\n\r\n"), b"POST /bad HTTP/1.1", b"abc"),
        (chunked(LAST), b"POST /bad HTTP/1.1", b""),
        (post(b"Content-Length: 0"), b"POST /bad HTTP/1.1", b""),
        (post(b"Content-Length: 45", body=SECOND + b"xxxx"), b"POST /bad HTTP/1.1", SECOND + b"xxxx"),
        (post(b"Content-Length: 17", body=b"GET /bad RTSP/1.0"), b"POST /bad HTTP/1.1", b"GET /bad RTSP/1.0"),
        (get(*OFFER), b"GET /bad HTTP/1.1", b""),
        (get(b"Upgrade: TLS/1.3, h2c"), b"GET /bad HTTP/1.1", b""),
        (post(*OFFER, b"Content-Length: 3", body=b"abc"), b"POST /bad HTTP/1.1", b"abc"),
        (post(*OFFER, b"Content-Length: 45", body=SECOND + b"xxxx"), b"POST /bad HTTP/1.1", SECOND + b"xxxx"),
        (post(*OFFER, b"Content-Length: 0"), b"POST /bad HTTP/1.1", b""),
        (
            post(*OFFER, b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\n" + LAST),
            b"POST /bad HTTP/1.1",
            b"abc",
        ),
    ],
    ids=[
        "an empty line before",
        "odd empty lines before",
        "spaces",
        "absolute",
        "absolute without a slash",
        "absolute without a path",
        "two slashes",
        "two slashes, like an authority",
        "white space around a length",
        "GET with a body",
        "CHUNKED",
        "extensions",
        "zeros",
        "trailers",
        "no chunk",
        "length 0",
        "a request as a body",
        "RTSP as a body",
        "an offer of h2c",
        "an offer not named by Connection",
        "an offer and a body",
        "an offer and a request as a body",
        "an offer and length 0",
        "an offer and chunks",
    ],
)
async def test_unusual_but_unambiguous_requests_are_forwarded_and_so_are_the_next_ones(
    edge: Edge, raw: bytes, line: bytes, body: bytes
) -> None:
    answer = await edge.raw(raw + get(b"Connection: close", line=b"GET /second HTTP/1.1"))
    assert STATUSES.findall(answer) == [b"200", b"200"]
    assert lines(edge) == [line, b"GET /second HTTP/1.1"]
    assert not {b"upgrade", b"http2-settings"} & {name for one in edge.app_server.arrived for name, _ in one.headers}
    sent = bodies(edge)[0]
    assert (unchunked(sent) if b"chunked" in edge.app_server.arrived[0].head else sent) == body


def unchunked(raw: bytes) -> bytes:
    body = b""
    while raw != LAST:
        size, _, raw = raw.partition(b"\r\n")
        body, raw = body + raw[: int(size, 16)], raw[int(size, 16) + 2 :]
    return body


async def test_trailers_are_dropped(edge: Edge) -> None:
    trailers = b"Authorization: Bearer x\r\nX-Late: 1\r\nX-Forwarded-For: 6.6.6.6\r\n"
    await edge.raw(chunked(b"1\r\na\r\n0\r\n" + trailers + b"\r\n") + get(b"Connection: close"))
    assert len(edge.app_server.arrived) == 2
    for exchange in edge.app_server.arrived:
        assert b"late" not in exchange.head.lower()
        assert b"6.6.6.6" not in exchange.head
        assert b"Bearer" not in exchange.head


async def test_a_body_with_a_framing_error_is_never_complete_for_the_app_server(edge: Edge) -> None:
    _, writer = stream = await asyncio.open_connection("127.0.0.1", edge.port)
    writer.write(chunked(b"3\r\nabc\r\n"))

    async def on_its_way() -> bool:
        return bool(edge.app_server.arrived)

    await eventually(on_its_way, 30, "the app server has got the head")
    writer.write(b"nonsense\r\n" + LAST + SECOND)
    assert STATUSES.findall(await asyncio.wait_for(stream[0].read(), 30)) == [b"400"]
    await asyncio.wait_for(edge.app_server.cut.wait(), 30)
    assert lines(edge) == [b"POST /bad HTTP/1.1"]
    writer.close()


async def test_nothing_is_read_after_the_last_request_of_a_connection(edge: Edge) -> None:
    for last in (get(b"Connection: close"), get(line=b"GET /bad HTTP/1.0")):
        assert STATUSES.findall(await edge.raw(last + SECOND)) == [b"200"]
    assert lines(edge) == [b"GET /bad HTTP/1.1"] * 2


async def test_a_body_sent_without_100_continue_is_not_taken_for_a_request(edge: Edge) -> None:
    """After a final response instead of `100 Continue` a client may send the body or not, so the edge closes."""
    await edge.rule("one", key_type="ip", key_value="*", limit=1, window_seconds=1000)
    await edge.get("/")
    refused = await edge.raw(post(b"Expect: 100-continue", b"Content-Length: 41", body=SECOND))
    assert STATUSES.findall(refused) == [b"429"]
    assert b"connection: close" in refused
    assert lines(edge) == [b"GET / HTTP/1.1"]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
async def test_requests_are_read_in_the_same_way_however_they_are_split(edge: Edge, size: int) -> None:
    """Pipelined requests of all kinds, split anywhere."""
    raw = FIRST + post(b"Content-Length: 3", body=b"abc") + chunked(b"3\r\nabc\r\n0\r\nT: 1\r\n\r\n") + FIRST
    raw += post(*OFFER, b"Content-Length: 3", body=b"abc") + get(*OFFER) + get(b"A: a\nb") + SECOND
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    for begin, end in pairwise([*range(0, len(raw), size), len(raw)]):
        writer.write(raw[begin:end])
        await asyncio.sleep(0)
    answers = STATUSES.findall(await asyncio.wait_for(reader.read(), 30))
    writer.close()
    assert answers == [b"200"] * 6 + [b"400"]
    assert [line.split()[1] for line in lines(edge)] == [b"/first", b"/bad", b"/bad", b"/first", b"/bad", b"/bad"]
    sent = [unchunked(body) if body.endswith(LAST) else body for body in bodies(edge)]
    assert sent == [b"", b"abc", b"abc", b"", b"abc", b""]


@pytest.mark.parametrize("size", [1, 3, 50])
@pytest.mark.parametrize("line", [b"GET /bad RTSP/1.0", b"SOURCE /bad ICE/1.1"])
async def test_another_protocol_is_refused_however_it_is_split(edge: Edge, line: bytes, size: int) -> None:
    raw = FIRST + get(line=line) + SECOND
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    for begin, end in pairwise([*range(0, len(raw), size), len(raw)]):
        writer.write(raw[begin:end])
        await asyncio.sleep(0)
    assert STATUSES.findall(await asyncio.wait_for(reader.read(), 30)) == [b"200", b"400"]
    writer.close()
    assert lines(edge) == [b"GET /first HTTP/1.1"]


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: edge.test\r\n\r\n", b"414"),
        (b"GET /" + b"a" * 400_000, b"414"),
        (get(b"A: " + b"a" * 40_000), b"431"),
        (b"GET /bad HTTP/1.1\r\nHost: edge.test\r\nA: " + b"a" * 400_000, b"431"),
        (get(*[b"A: a"] * 100), b"431"),
        (get(*[b"A: " + b"a" * 1000] * 33), b"431"),
        (chunked(b"1\r\na\r\n0\r\nT: " + b"a" * 400_000), b"431"),
        (chunked(b"1\r\na\r\n0\r\n" + b"T: a\r\n" * 100), b"431"),
        (chunked(b"1;" + b"a" * 400_000), b"431"),
    ],
    ids=[
        "target",
        "target without end",
        "header",
        "header without end",
        "many headers",
        "large headers",
        "trailer without end",
        "many trailers",
        "chunk extension without end",
    ],
)
async def test_the_size_of_heads_is_bounded(edge: Edge, raw: bytes, status: bytes) -> None:
    answer = await edge.raw(raw)
    assert STATUSES.findall(answer) == [status]
    assert_refused(answer, status)
    assert all(b"second" not in line for line in lines(edge))
