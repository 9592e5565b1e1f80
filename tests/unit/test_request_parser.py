"""How requests are parsed that arrive together."""

import gc
import time

import pytest

from app.errors import MalformedRequest
from app.http1.server.head import Head
from app.http1.server.interface import ConnectionInterface
from app.http1.server.limits import ServerLimits
from app.http1.server.request_parser import RequestParser
from app.settings import Settings

FEW_BYTES, MANY_BYTES = 32 << 10, 256 << 10
MOST_TRIES = 50
"""What other processes do makes parsing slower and never faster: the quickest one counts."""
LIMITS = ServerLimits.from_settings(Settings())
OFFER = b"Upgrade: h2c\r\nConnection: upgrade\r\n"
PIPELINED = {
    "requests": b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n",
    "offers of another protocol": b"GET /a HTTP/1.1\r\nHost: a\r\n" + OFFER + b"\r\n",
    "offers with a body": b"POST /a HTTP/1.1\r\nHost: a\r\n" + OFFER + b"Content-Length: 9\r\n\r\n/b RTSP/1",
    "bodies that look like another protocol": b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n /b  RTSP/1 ",
}


class Counted(ConnectionInterface):
    """Counts the requests that it is told of."""

    def __init__(self) -> None:
        self.requests = 0
        self.body = b""

    def head_started(self) -> None:
        pass

    def head_received(self, head: Head, *, keep_alive: bool) -> None:
        pass

    def body_received(self, data: bytes) -> None:
        self.body = data

    def request_complete(self) -> None:
        self.requests += 1


def cpu_s(request: bytes, count: int) -> float:
    connection = Counted()
    parser = RequestParser(connection, LIMITS)
    data = request * count
    gc.collect()
    gc.disable()  # a collection costs what the whole test process has allocated
    try:
        began_s = time.thread_time()
        parser.feed(data)
        took_s = time.thread_time() - began_s
    finally:
        gc.enable()
    assert connection.requests == count
    return took_s


@pytest.mark.parametrize("request_bytes", PIPELINED.values(), ids=PIPELINED)
def test_many_requests_at_once_cost_time_in_proportion_to_their_size(request_bytes: bytes) -> None:
    """What a client sends at once may hold ten thousand requests, and nobody else is served while they are parsed."""
    few, many = FEW_BYTES // len(request_bytes), MANY_BYTES // len(request_bytes)
    cost_of_few = cost_of_many = float("inf")
    for _ in range(MOST_TRIES):
        cost_of_few = min(cost_of_few, cpu_s(request_bytes, few))
        cost_of_many = min(cost_of_many, cpu_s(request_bytes, many))
        if cost_of_many < 3 * cost_of_few * many / few:
            return
    pytest.fail(f"{few} requests cost {cost_of_few:.4f} s, {many} cost {cost_of_many:.4f} s")


@pytest.mark.parametrize("protocol", [b"RTSP/1.0", b"ICE/1.0"])
@pytest.mark.parametrize(
    "before", [b"", b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n", b"\r\n"], ids=["alone", "behind", "empty"]
)
def test_another_protocol_is_refused_wherever_its_request_stands(protocol: bytes, before: bytes) -> None:
    method = b"SOURCE" if protocol.startswith(b"ICE") else b"OPTIONS"
    with pytest.raises(MalformedRequest):
        RequestParser(Counted(), LIMITS).feed(before + method + b" /x " + protocol + b"\r\nHost: a\r\n\r\n")


def test_an_offer_does_not_hide_what_follows_it() -> None:
    connection = Counted()
    RequestParser(connection, LIMITS).feed(PIPELINED["offers with a body"] + PIPELINED["requests"])
    assert (connection.requests, connection.body) == (2, b"/b RTSP/1")
