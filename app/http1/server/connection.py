"""One client's connection: its requests are parsed as they come, and answered in their order."""

import asyncio
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Never, cast

import httptools

from app.errors import (
    BodyTooLarge,
    HeadTooLarge,
    InvalidInput,
    MalformedRequest,
    PenstockError,
    RequestTooSlow,
    TargetTooLong,
    TooManyConnections,
    TooManyRequests,
)
from app.http1.server.exchange import Address, Application, Exchange, last_answer
from app.http1.server.head import read_head
from app.http1.server.limits import Limits
from app.web.headers import Headers
from app.web.problems import Reply, of_error

HELD_BACK_BYTES = 64 << 10
"""So much of a body is read ahead of the application."""
READ_AHEAD = 8
"""So many requests of one connection are read ahead of their answers; MOST_AHEAD where they came at once."""
MOST_AHEAD = 128
DISCARDED_BYTES = 16 << 20
"""So much of a body that nobody wants is read to keep the connection."""
LINGER_S = 2.0
"""How long a client that still sends is listened to after its last answer: a reset would take that from it."""
SPARE_CONNECTIONS = 128
"""Above the limit so many are told so; others are cut."""

Refused = Callable[[PenstockError], None]


@dataclass(frozen=True, slots=True, eq=False)
class Serving:
    """What all connections of a server share. `refused` is told of what never becomes a request."""

    application: Application
    limits: Limits
    refused: Refused
    connections: "set[ServerConnection]" = field(default_factory=set)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def check(self, now: float) -> None:
        """Cut those who take too long; to be called every now and then."""
        for connection in tuple(self.connections):
            connection.check(now)


class ServerConnection(asyncio.Protocol):
    """A refusal is the last answer of its connection, and what follows it is never read: nobody knows where a request
    ends that could not be read."""

    __deletable__ = ("_parser",)  # says mypyc (setup.py)

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._limits = serving.limits
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        # What follows a request that says `ServerConnection: close` is ignored rather than an error.
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._exchanges: deque[Exchange] = deque()
        self._receiving: Exchange | None = None
        self._refusal: Reply | None = None
        self._fault: PenstockError | None = None
        self._read_closed = self._lingering = self._starting = False
        self._paused = False
        self.writable: asyncio.Future[None] | None = None
        self._start_head()
        self._in_head = False
        self._since_progress = 0
        self._written = self._taken = 0
        self._in_window = 0
        self._deadline_s = self._write_deadline_s = math.inf

    # The transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio's."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        self.client = _address(transport.get_extra_info("peername"))
        self.server = _address(transport.get_extra_info("sockname"))
        self._deadline_s = self._loop.time() + self._limits.header_s
        connections = self._serving.connections
        connections.add(self)
        if len(connections) > self._limits.connections + SPARE_CONNECTIONS:
            self.abort()
        elif len(connections) > self._limits.connections:
            self._refuse(TooManyConnections("There are too many connections."))

    def connection_lost(self, _: Exception | None) -> None:
        """asyncio's."""
        self._serving.connections.discard(self)
        self._read_closed = True
        for exchange in self._exchanges:
            exchange.leave()
        self._exchanges.clear()
        self._receiving = None
        self.resume_writing()
        del self._parser  # it refers to this connection

    def pause_writing(self) -> None:
        """asyncio's."""
        if self.writable is None:
            self.writable = self._loop.create_future()

    def resume_writing(self) -> None:
        """asyncio's."""
        if self.writable is not None:
            self.writable.set_result(None)
            self.writable = None

    def data_received(self, data: bytes) -> None:
        """asyncio's."""
        self._since_progress += len(data)
        if self._read_closed:
            if self._lingering and self._since_progress > DISCARDED_BYTES:
                self.abort()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            if self._fault is None and isinstance(error, httptools.HttpParserCallbackError):
                raise
            if not self._read_closed:
                self._refuse(self._fault or MalformedRequest(f"This is no well-formed HTTP/1.1: {error}."))
        else:
            # An endless header, trailer or chunk extension shows in no callback.
            if self._since_progress > self._limits.header_bytes and not self._read_closed:
                self._refuse(self._too_large())
        self._start_first()

    # The parser

    def on_message_begin(self) -> None:
        """httptools': the first byte of a request."""
        if self._read_closed:
            self._stop(MalformedRequest("Nothing is read after the last request."))
        self._start_head()
        self._deadline_s = self._loop.time() + self._limits.header_s

    def on_url(self, url: bytes) -> None:
        """httptools': a piece of the target."""
        self._url += url
        if len(self._url) > self._limits.header_bytes:
            self._stop(self._too_large())

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools': a header or, after the head, a trailer, which is dropped."""
        if self._in_head:
            self._headers.append((name.lower(), value.rstrip(b" \t")))
        else:
            self._trailers += 1
            if len(self._headers) + self._trailers > self._limits.headers:
                self._stop(self._too_large())

    def on_headers_complete(self) -> None:
        """httptools': the head is whole."""
        parser, headers, limits = self._parser, self._headers, self._limits
        if len(headers) > limits.headers or (
            self._since_progress > limits.header_bytes and _size(self._url, headers) > limits.header_bytes
        ):
            self._stop(self._too_large())
        version = parser.get_http_version()
        try:
            head = read_head(parser.get_method().decode(), version, self._url, headers, limits.body_bytes)
        except PenstockError as error:
            self._stop(error)
        if len(self._exchanges) >= MOST_AHEAD:
            self._stop(TooManyRequests("Too many requests came at once.", retry_after_s=1))
        self._in_head = False
        self._since_progress = 0
        exchange = Exchange(self, head, keep_alive=version == "1.1" and parser.should_keep_alive())
        self._receiving = exchange
        self._exchanges.append(exchange)
        self._begin_window()
        if len(self._exchanges) >= READ_AHEAD:
            self._balance()

    def on_body(self, data: bytes) -> None:
        """httptools': a piece of the body."""
        exchange = self._receiving
        self._since_progress = 0
        if exchange is None or self._read_closed:
            return
        self._in_window += len(data)
        exchange.received += len(data)
        if exchange.complete:
            if exchange.received > DISCARDED_BYTES:
                self._end()
        elif 0 < self._limits.body_bytes < exchange.received:
            self._stop(BodyTooLarge(f"A request has at most {self._limits.body_bytes} bytes."))
        else:
            exchange.body(data)
            if exchange.held_back > HELD_BACK_BYTES:
                self._balance()

    def on_message_complete(self) -> None:
        """httptools': the request is whole."""
        exchange, self._receiving = self._receiving, None
        self._since_progress = 0
        if exchange is None or self._read_closed:
            return
        exchange.whole()
        self._read_closed = not exchange.keep_alive
        self._deadline_s = math.inf if self._exchanges else self._loop.time() + self._limits.keep_alive_s

    # Its exchanges

    def write(self, data: bytes) -> None:
        """Send these bytes."""
        self._written += len(data)
        self._transport.write(data)

    def wanted(self) -> None:
        """More of a body is."""
        self._balance()

    def refused(self, error: PenstockError) -> None:
        """An exchange's request was."""
        self._serving.refused(error)

    def over(self, task: asyncio.Task[None] | None) -> None:
        """Of an exchange; nothing comes after it."""
        if task is not None:
            self._serving.tasks.discard(task)

    def answered(self, exchange: Exchange) -> None:
        """The first exchange's answer is whole: it is the next one's turn."""
        self._exchanges.popleft()
        if self._transport.is_closing():
            return
        if not exchange.keep_alive:
            self._end()
            return
        if self._paused:
            self._balance()
        if self._exchanges:
            self._start_first()
        elif self._refusal is not None:
            self._end()
        elif self._receiving is None and not self._in_head:
            self._deadline_s = self._loop.time() + self._limits.keep_alive_s

    def abort(self) -> None:
        """End the connection at once."""
        self._transport.abort()

    def shutdown(self) -> None:
        """The server's: no request after those that are here."""
        if self._exchanges:
            self._exchanges[-1].keep_alive = False
        else:
            self._transport.close()

    def check(self, now: float) -> None:
        """Cut a client who takes too long."""
        if now >= self._deadline_s:
            self._overdue(now)
        unsent = self._transport.get_write_buffer_size()
        if not unsent:
            self._write_deadline_s = math.inf
            return
        taken, due = self._written - unsent, now >= self._write_deadline_s
        if due and taken - self._taken < self._least:
            self.abort()
        elif due or self._write_deadline_s == math.inf:
            self._taken, self._write_deadline_s = taken, now + self._limits.stall_s

    @property
    def _least(self) -> float:
        """What must come, or be taken, within `stall_s`."""
        return max(1.0, self._limits.bytes_per_s * self._limits.stall_s)

    def _overdue(self, now: float) -> None:
        receiving = self._receiving
        if self._lingering:
            if self._transport.get_write_buffer_size():
                self._deadline_s = now + LINGER_S
            else:
                self.abort()
        elif self._paused or (receiving is not None and (receiving.awaits_continue or self._in_window >= self._least)):
            self._begin_window()
        elif receiving is not None or self._in_head:
            self._refuse(RequestTooSlow("The request did not come in time."))
        else:
            self._transport.close()

    def _begin_window(self) -> None:
        self._in_window, self._deadline_s = 0, self._loop.time() + self._limits.stall_s

    def _start_head(self) -> None:
        self._in_head = True
        self._url = b""
        self._headers: Headers = []
        self._trailers = 0

    def _start_first(self) -> None:
        """Those that can be are answered at once, one after the other, until one must be waited for."""
        if self._starting:
            return
        self._starting = True
        started = None
        while self._exchanges and (first := self._exchanges[0]).task is None and first is not started:
            answering = first.start(self._serving.application)
            if answering is not None:
                first.task = self._loop.create_task(first.run(answering))
                self._serving.tasks.add(first.task)
            started = first
        self._starting = False

    def _balance(self) -> None:
        """Read on, or not, as there is room."""
        held_back = self._receiving.held_back if self._receiving is not None else 0
        full = not self._read_closed and (held_back > HELD_BACK_BYTES or len(self._exchanges) > READ_AHEAD)
        if full == self._paused:
            return
        self._paused = full
        if full:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()
            if self._receiving is not None:
                self._begin_window()

    def _too_large(self) -> InvalidInput:
        most = self._limits.header_bytes
        if len(self._url) > most:
            return TargetTooLong(f"The target and the headers of a request have at most {most} bytes.")
        return HeadTooLarge(f"A request has at most {self._limits.headers} headers, with {most} bytes in all.")

    def _stop(self, error: PenstockError) -> Never:
        """Out of the parser: httptools does not keep what its callbacks raise."""
        self._fault = error
        raise error

    def _refuse(self, error: PenstockError) -> None:
        self._read_closed = True
        broken = self._receiving
        if broken is not None and broken.complete:  # a second answer to it would be taken for the next one's
            self._end()
            return
        if broken is not None:
            broken.leave()
            if broken.begun:
                self.abort()
                return
            self._exchanges.remove(broken)
        self._refusal = of_error(error)
        self._serving.refused(error)
        if not self._exchanges:
            self._end()

    def _end(self) -> None:
        """No more answers."""
        if self._refusal is not None:
            self.write(last_answer(self._refusal))
        sends_still = self._refusal is not None or self._receiving is not None or self._in_head
        self._exchanges.clear()
        self._receiving, self._in_head, self._read_closed = None, False, True
        self._balance()
        if not sends_still:
            self._transport.close()
        elif not self._transport.is_closing():
            self._since_progress = 0
            self._lingering, self._deadline_s = True, self._loop.time() + LINGER_S
            self._transport.write_eof()


def _address(name: tuple[Any, ...] | None) -> Address | None:
    return None if not name else (name[0], name[1])


def _size(url: bytes, headers: Headers) -> int:
    return len(url) + sum(len(name) + len(value) + 4 for name, value in headers)
