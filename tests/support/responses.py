"""Responses byte for byte, good and broken, and what is to become of each."""

from dataclasses import dataclass

OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = b"Content-Length: 3\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
STOLEN = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen"


@dataclass(frozen=True, slots=True)
class Good:
    """What is read of a response. `keeps`: whether the connection may carry another."""

    name: str
    raw: bytes
    body: bytes
    status: int = 200
    keeps: bool = True
    method: str = "GET"
    ends: bool = False
    """Whether the server closes the connection after it."""


GOOD = [
    Good("length", OK + LENGTH + b"\r\nabc", b"abc"),
    Good("length 0", OK + b"Content-Length: 0\r\n\r\n", b""),
    Good("chunked", OK + CHUNKED + b"\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", b"abc"),
    Good(
        "chunked, large letters", OK + b"TRANSFER-ENCODING: Chunked\r\n\r\n0A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"
    ),
    Good("chunk extension", OK + CHUNKED + b'\r\n3;a=b;c="d"\r\nabc\r\n0\r\n\r\n', b"abc"),
    Good("trailers", OK + CHUNKED + b"\r\n3\r\nabc\r\n0\r\nX-Sum: 6\r\n\r\n", b"abc"),
    Good("spaces around values", OK + b"X:   a \t\r\nContent-Length: \t3 \t\r\n\r\nabc", b"abc"),
    Good("Latin-1", OK + b"X: \xe9\xff\r\n" + LENGTH + b"\r\nabc", b"abc"),
    Good("no reason", b"HTTP/1.1 200\r\n" + LENGTH + b"\r\nabc", b"abc"),
    Good("empty reason", b"HTTP/1.1 200 \r\n" + LENGTH + b"\r\nabc", b"abc"),
    Good("status 599", b"HTTP/1.1 599 Odd\r\n" + LENGTH + b"\r\nabc", b"abc", 599),
    Good("204", b"HTTP/1.1 204 No Content\r\n\r\n", b"", 204),
    Good("304 with a length", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b"", 304),
    Good("HEAD with a length", OK + b"Content-Length: 5\r\n\r\n", b"", method="HEAD"),
    Good("HEAD, chunked", OK + CHUNKED + b"\r\n", b"", method="HEAD"),
    Good("HEAD without framing", OK + b"\r\n", b"", method="HEAD"),
    Good(
        "interim", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 E\r\nLink: x\r\n\r\n" + OK + LENGTH + b"\r\nabc", b"abc"
    ),
    Good("interim with a length", b"HTTP/1.1 103 E\r\n" + LENGTH + b"\r\n" + OK + LENGTH + b"\r\nabc", b"abc"),
    Good("close", OK + LENGTH + b"Connection: close\r\n\r\nabc", b"abc", keeps=False),
    Good("until the end", OK + b"\r\nabc", b"abc", keeps=False, ends=True),
    Good("HTTP/1.0", b"HTTP/1.0 200 OK\r\n" + LENGTH + b"\r\nabc", b"abc", keeps=False),
    Good("HTTP/1.0 kept", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + LENGTH + b"\r\nabc", b"abc"),
    Good("204 with a length", b"HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\n", b"", 204, keeps=False),
    Good("more than the length", OK + LENGTH + b"\r\nabcdef", b"abc", keeps=False),
    Good("a second response", OK + LENGTH + b"\r\nabc" + STOLEN, b"abc", keeps=False),
    Good("a second, after chunks", OK + CHUNKED + b"\r\n3\r\nabc\r\n0\r\n\r\n" + STOLEN, b"abc", keeps=False),
    Good("a body for HEAD", OK + LENGTH + b"\r\nabc", b"", keeps=False, method="HEAD"),
    Good("a second, for HEAD", OK + LENGTH + b"\r\n" + STOLEN, b"", keeps=False, method="HEAD"),
    Good("a body for 204", b"HTTP/1.1 204 No Content\r\n\r\n" + STOLEN, b"", 204, keeps=False),
    Good("a body for 304", b"HTTP/1.1 304 Not Modified\r\n" + LENGTH + b"\r\nabc", b"", 304, keeps=False),
    Good("interim at the end", OK + LENGTH + b"\r\nabcHTTP/1.1 100 Continue\r\n\r\n", b"abc", keeps=False),
    Good("half a second one", OK + LENGTH + b"\r\nabcH", b"abc", keeps=False),
    Good("data after close", OK + LENGTH + b"Connection: close\r\n\r\nabcdef", b"abc", keeps=False),
]

BROKEN = {
    "nothing": b"",
    "an empty line": b"\r\n",
    "nonsense": b"\x00\xffnonsense\r\n\r\n",
    "a request": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "TLS": b"\x15\x03\x01\x00\x02\x02\x28",
    "HTTP/2": b"\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    "length and coding": OK + LENGTH + CHUNKED + b"\r\n3\r\nabc\r\n0\r\n\r\n",
    "coding and length": OK + CHUNKED + LENGTH + b"\r\n3\r\nabc\r\n0\r\n\r\n",
    "two lengths": OK + LENGTH + b"Content-Length: 6\r\n\r\nabcdef",
    "the same length twice": OK + LENGTH + LENGTH + b"\r\nabc",
    "a list of lengths": OK + b"Content-Length: 3, 3\r\n\r\nabc",
    "a signed length": OK + b"Content-Length: +3\r\n\r\nabc",
    "a negative length": OK + b"Content-Length: -1\r\n\r\nabc",
    "a hexadecimal length": OK + b"Content-Length: 0x3\r\n\r\nabc",
    "an empty length": OK + b"Content-Length: \r\n\r\nabc",
    "a huge length": OK + b"Content-Length: 18446744073709551619\r\n\r\nabc",
    "a space before the colon": OK + b"Content-Length : 3\r\n\r\nabc",
    "gzip": OK + b"Transfer-Encoding: gzip\r\n\r\nabc",
    "gzip, chunked": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "chunked, gzip": OK + b"Transfer-Encoding: chunked, gzip\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "chunked twice": OK + CHUNKED + CHUNKED + b"\r\n3\r\nabc\r\n0\r\n\r\n",
    "xchunked": OK + b"Transfer-Encoding: xchunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "an empty coding": OK + b"Transfer-Encoding:\r\n\r\nabc",
    "chunked in HTTP/1.0": b"HTTP/1.0 200 OK\r\n" + CHUNKED + b"\r\n3\r\nabc\r\n0\r\n\r\n",
    "no size": OK + CHUNKED + b"\r\n\r\nabc\r\n0\r\n\r\n",
    "a size with 0x": OK + CHUNKED + b"\r\n0x3\r\nabc\r\n0\r\n\r\n",
    "a negative size": OK + CHUNKED + b"\r\n-3\r\nabc\r\n0\r\n\r\n",
    "a size after a space": OK + CHUNKED + b"\r\n 3\r\nabc\r\n0\r\n\r\n",
    "a size before a space": OK + CHUNKED + b"\r\n3 \r\nabc\r\n0\r\n\r\n",
    "a huge size": OK + CHUNKED + b"\r\n10000000000000003\r\nabc\r\n0\r\n\r\n",
    "a size with LF": OK + CHUNKED + b"\r\n3\nabc\r\n0\r\n\r\n",
    "a chunk with LF": OK + CHUNKED + b"\r\n3\r\nabc\n0\r\n\r\n",
    "a chunk too long": OK + CHUNKED + b"\r\n3\r\nabcd\r\n0\r\n\r\n",
    "a chunk too short": OK + CHUNKED + b"\r\n4\r\nabc\r\n0\r\n\r\n",
    "an extension with LF": OK + CHUNKED + b"\r\n3;a\nabc\r\n0\r\n\r\n",
    "a length as a trailer": OK + CHUNKED + b"\r\n3\r\nabc\r\n0\r\nContent-Length: 3\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 3\n\nabc",
    "bare LF in a header": OK + b"X: a\nContent-Length: 3\r\n\r\nabc",
    "bare CR": OK + b"X: a\rb\r\n" + LENGTH + b"\r\nabc",
    "a folded line": OK + b"X: a\r\n b\r\n" + LENGTH + b"\r\nabc",
    "a folded length": OK + b"Content-Length:\r\n 3\r\n\r\nabc",
    "NUL": OK + b"X: a\0b\r\n" + LENGTH + b"\r\nabc",
    "a control character": OK + b"X: a\x01b\r\n" + LENGTH + b"\r\nabc",
    "DEL": OK + b"X: a\x7fb\r\n" + LENGTH + b"\r\nabc",
    "NUL in a name": OK + b"X\0: a\r\n" + LENGTH + b"\r\nabc",
    "a space in a name": OK + b"X Y: a\r\n" + LENGTH + b"\r\nabc",
    "no name": OK + b": a\r\n" + LENGTH + b"\r\nabc",
    "no colon": OK + b"X\r\n" + LENGTH + b"\r\nabc",
    "status 99": b"HTTP/1.1 99 Odd\r\n" + LENGTH + b"\r\nabc",
    "status 099": b"HTTP/1.1 099 Odd\r\n" + LENGTH + b"\r\nabc",
    "status 600": b"HTTP/1.1 600 Odd\r\n" + LENGTH + b"\r\nabc",
    "status 999": b"HTTP/1.1 999 Odd\r\n" + LENGTH + b"\r\nabc",
    "status 2000": b"HTTP/1.1 2000 Odd\r\n" + LENGTH + b"\r\nabc",
    "no status": b"HTTP/1.1 OK\r\n" + LENGTH + b"\r\nabc",
    "HTTP/0.9": b"HTTP/0.9 200 OK\r\n" + LENGTH + b"\r\nabc",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\n" + LENGTH + b"\r\nabc",
    "small http": b"http/1.1 200 OK\r\n" + LENGTH + b"\r\nabc",
    "RTSP": b"RTSP/1.0 200 OK\r\n" + LENGTH + b"\r\nabc",
    "ICE after an empty line": b"\r\nICE/1.1 200 OK\r\n" + LENGTH + b"\r\nabc",
    "switching protocols": b"HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n" + STOLEN,
    "switching to nothing": b"HTTP/1.1 101 S\r\n\r\n" + STOLEN,
    "only interim": b"HTTP/1.1 100 Continue\r\n\r\n",
    "endless interim": b"HTTP/1.1 100 Continue\r\n\r\n" * 20 + OK + LENGTH + b"\r\nabc",
    "a large head": OK + b"X: " + b"a" * 70_000 + b"\r\n" + LENGTH + b"\r\nabc",
    "many headers": OK + b"X: aaaa\r\n" * 8_000 + LENGTH + b"\r\nabc",
    "an endless head": OK + b"X: " + b"a" * 200_000,
    "endless empty lines": b"\r\n" * 100_000,
    "endless trailers": OK + CHUNKED + b"\r\n3\r\nabc\r\n0\r\nX: " + b"a" * 200_000,
    "cut in the head": OK + b"Content-Le",
    "cut in the body": OK + LENGTH + b"\r\nab",
    "cut in a chunk": OK + CHUNKED + b"\r\n3\r\nab",
    "cut after a chunk": OK + CHUNKED + b"\r\n3\r\nabc\r\n",
    "cut in the last chunk": OK + CHUNKED + b"\r\n3\r\nabc\r\n0\r\n",
    "cut in the trailers": OK + CHUNKED + b"\r\n3\r\nabc\r\n0\r\nX: y\r\n",
}
