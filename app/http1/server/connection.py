"""One client's connection: its requests are read as they arrive, and answered one after another, in order."""

import asyncio
import select
from collections.abc import Callable
from typing import Any, Final, cast

from app.errors import (
    BodyTooLarge,
    MalformedRequest,
    PenstockError,
    RequestTooSlow,
    TooManyConnections,
    TooManyRequests,
)
from app.http1.server.context import ServerContext
from app.http1.server.deadlines import Deadlines
from app.http1.server.exchange import Exchange
from app.http1.server.half_close import watch_for_reset
from app.http1.server.head import Head
from app.http1.server.interface import Address, ConnectionInterface
from app.http1.server.limits import (
    MAX_BUFFERED_BODY_BYTES,
    MAX_DISCARDED_BYTES,
    MAX_PIPELINED,
    PIPELINED_BEFORE_PAUSE,
    SPARE_CONNECTIONS,
)
from app.http1.server.pipeline import Pipeline
from app.http1.server.request_parser import RequestParser
from app.http1.server.response_writer import encode_last_reply
from app.http1.server.state import BODY, HEAD, IDLE, LINGERING, READ_CLOSED, ConnectionState
from app.web.headers import Headers
from app.web.problems import Reply, error_reply

NO_HEADERS: Final[Headers] = []


class ServerConnection(ConnectionInterface):
    """Implements asyncio.Protocol, but does not inherit from it: mypyc compiles only classes without such a base.

    After a request that is refused before it reaches the application nothing more is read, because nobody can know
    where it ends. Its refusal is the connection's last response.

    A client that closes its side of the connection still gets the answers to the requests that it has sent. One that
    closed both sides looks the same, until something is written to it or the connection is reset.
    """

    def __init__(self, context: ServerContext) -> None:
        self._context = context
        self._limits = context.limits
        self._loop = asyncio.get_running_loop()
        self._parser: RequestParser | None = RequestParser(self, context.limits)
        self._deadlines = Deadlines(context.limits)
        self._state: ConnectionState = IDLE
        self._pipeline = Pipeline(context)
        self._receiving: Exchange | None = None
        self._refusal: Reply | None = None
        self._reading_paused = False
        self._discarded_bytes = 0
        self._reset: select.poll | None = None
        """Tells whether the connection was reset, once the client has closed its side: nothing else would."""
        self.client = self.server = self.drain_waiter = None

    # Called by asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio when a client has connected."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports do not inherit from asyncio's
        self.client = _address(transport.get_extra_info("peername"))
        self.server = _address(transport.get_extra_info("sockname"))
        self._deadlines.expect_head(self._loop.time())
        connections = self._context.connections
        connections.add(self)
        if len(connections) > self._limits.connections + SPARE_CONNECTIONS:
            self.abort()
        elif len(connections) > self._limits.connections:
            self._refuse(TooManyConnections("There are too many connections."))

    def connection_lost(self, _: Exception | None) -> None:
        """Called by asyncio when the connection is closed."""
        self._context.connections.discard(self)
        self._state = READ_CLOSED
        self._pipeline.disconnect()
        self._receiving = None
        self.resume_writing()
        if self._parser is not None:
            self._parser.close()
            self._parser = None

    def pause_writing(self) -> None:
        """Called by asyncio when the client reads more slowly than responses are written."""
        if self.drain_waiter is None:
            self.drain_waiter = self._loop.create_future()

    def resume_writing(self) -> None:
        """Called by asyncio when the client has caught up."""
        if self.drain_waiter is not None:
            self.drain_waiter.set_result(None)
            self.drain_waiter = None

    def eof_received(self) -> bool:
        """Called by asyncio when the client has closed its side; False closes the connection."""
        broken, self._receiving = self._receiving, None
        if broken is not None and not broken.response.finished:
            broken.disconnect()
            self._pipeline.remove(broken)
        if not self._pipeline or self._state is LINGERING:
            return False
        self._state = READ_CLOSED
        self._deadlines.expect_nothing()
        self._pipeline.end_with_newest()
        self._reset = watch_for_reset(self._transport)
        return True

    def data_received(self, data: bytes) -> None:
        """Called by asyncio when bytes have been received."""
        if self._state is LINGERING:
            self._discard(len(data))
            return
        if self._state is READ_CLOSED or self._parser is None:
            return
        try:
            self._parser.feed(data)
        except PenstockError as error:
            if self._is_reading:
                self._refuse(error)
        self._pipeline.start_oldest()

    # Called by the parser

    def head_started(self) -> None:
        """Called by the parser; see ConnectionInterface."""
        if not self._is_reading:
            raise MalformedRequest("Nothing may follow the last request of a connection.")
        self._state = HEAD
        self._deadlines.expect_head(self._loop.time())

    def head_received(self, head: Head, *, keep_alive: bool) -> None:
        """Called by the parser; see ConnectionInterface."""
        if len(self._pipeline) >= MAX_PIPELINED:
            raise TooManyRequests("Too many requests were sent at once.", retry_after_s=1)
        self._receiving = exchange = Exchange(self, head, keep_alive=keep_alive)
        self._state = BODY
        self._pipeline.append(exchange)
        self._deadlines.expect_body(self._loop.time())
        if len(self._pipeline) >= PIPELINED_BEFORE_PAUSE:
            self._balance_reading()
        if head.has_body and self._limits.body_bytes and head.content_length > self._limits.body_bytes:
            raise self._body_too_large()

    def body_received(self, data: bytes) -> None:
        """Called by the parser; see ConnectionInterface."""
        exchange = self._receiving
        if exchange is None:
            return
        body, size = exchange.body, len(data)
        self._deadlines.body_received(size)
        body.received_bytes += size
        if exchange.response.finished:
            if body.received_bytes > MAX_DISCARDED_BYTES:
                self._end()
        elif 0 < self._limits.body_bytes < body.received_bytes:
            raise self._body_too_large()
        else:
            body.feed_data(data)
            if body.buffered_bytes > MAX_BUFFERED_BODY_BYTES:
                self._balance_reading()

    def _body_too_large(self) -> BodyTooLarge:
        return BodyTooLarge(f"The body of a request may have at most {self._limits.body_bytes} bytes.")

    def request_complete(self) -> None:
        """Called by the parser; see ConnectionInterface."""
        exchange, self._receiving = self._receiving, None
        if exchange is None:
            return
        exchange.body.feed_eof()
        self._state = IDLE if exchange.response.keep_alive else READ_CLOSED
        if self._pipeline:
            self._deadlines.expect_nothing()
        else:
            self._deadlines.expect_request(self._loop.time())

    # Called by exchanges

    def write(self, data: bytes) -> None:
        """Called by exchanges; see ConnectionInterface."""
        self._deadlines.written(len(data))
        self._transport.write(data)

    def own_headers(self, head: Head) -> Headers:
        """Called by exchanges; see ConnectionInterface."""
        added = self._context.own_headers
        return NO_HEADERS if added is None else added(head.headers)

    def body_requested(self) -> None:
        """Called by exchanges; see ConnectionInterface."""
        self._balance_reading()

    def request_refused(self, error: PenstockError) -> None:
        """Called by exchanges; see ConnectionInterface."""
        self._context.on_refused(error)

    def task_finished(self, task: asyncio.Task[None] | None) -> None:
        """Called by exchanges; see ConnectionInterface."""
        if task is not None:
            self._context.tasks.discard(task)

    def response_finished(self, *, keep_alive: bool) -> None:
        """Called by exchanges; see ConnectionInterface."""
        self._pipeline.pop()
        if self._transport.is_closing():
            return
        if not keep_alive:
            self._end()
            return
        if self._reading_paused:
            self._balance_reading()
        if self._pipeline:
            self._pipeline.start_oldest()
        elif self._refusal is not None:
            self._end()
        elif self._state is IDLE:
            self._deadlines.expect_request(self._loop.time())

    def abort(self) -> None:
        """Close the connection at once."""
        self._transport.abort()

    # Called by the server

    def shutdown(self) -> None:
        """Called by uvicorn when the server stops: finish the requests that have been received, then close."""
        if self._pipeline:
            self._pipeline.end_with_newest()
        else:
            self._transport.close()

    def check_deadlines(self, now: float) -> None:
        """Close the connection if the client takes too long, or has gone for good."""
        if self._reset is not None and self._reset.poll(0):
            self.abort()
        if self._deadlines.is_read_overdue(now):
            self._read_overdue(now)
        if self._deadlines.is_write_stalled(now, self._transport.get_write_buffer_size()):
            self.abort()

    def _read_overdue(self, now: float) -> None:
        if self._state is LINGERING:
            if self._transport.get_write_buffer_size():
                self._deadlines.expect_close(now)
            else:
                self.abort()
        elif self._reading_paused or self._body_may_take_longer():
            self._deadlines.expect_body(now)
        elif self._state in (HEAD, BODY):
            self._refuse(RequestTooSlow("The request was not received in time."))
        else:
            self._transport.close()

    def _body_may_take_longer(self) -> bool:
        exchange = self._receiving
        return exchange is not None and (exchange.body.awaits_continue or self._deadlines.body_progresses)

    # Reading

    @property
    def _is_reading(self) -> bool:
        return self._state is not READ_CLOSED and self._state is not LINGERING

    def _balance_reading(self) -> None:
        """Pause reading while too much has been received that the application has not taken; else resume it."""
        buffered_bytes = self._receiving.body.buffered_bytes if self._receiving is not None else 0
        is_full = buffered_bytes > MAX_BUFFERED_BODY_BYTES or len(self._pipeline) > PIPELINED_BEFORE_PAUSE
        pause = is_full and self._is_reading
        if pause == self._reading_paused:
            return
        self._reading_paused = pause
        if pause:
            self._transport.pause_reading()
            return
        self._transport.resume_reading()
        if self._receiving is not None:
            self._deadlines.expect_body(self._loop.time())

    def _discard(self, size: int) -> None:
        self._discarded_bytes += size
        if self._discarded_bytes > MAX_DISCARDED_BYTES:
            self.abort()

    # Responding

    def _refuse(self, error: PenstockError) -> None:
        """Read nothing more, and respond with this error once the requests before have been answered."""
        broken = self._receiving
        if broken is not None and broken.response.finished:
            self._end()  # a second response would be taken for that to the next request
            return
        self._state, self._receiving = READ_CLOSED, None
        self._deadlines.expect_nothing()
        if broken is not None:
            broken.disconnect()
            if broken.response.started:
                self.abort()
                return
            self._pipeline.remove(broken)
        self._refusal = reply = error_reply(error)
        if broken is not None:
            reply.headers = [*reply.headers, *self.own_headers(broken.head)]
        self._context.on_refused(error)
        if not self._pipeline:
            self._end()

    def _end(self) -> None:
        """Close the connection; if the client may still be sending, only once it has had time to read the response."""
        client_is_sending = self._reset is None and (self._refusal is not None or self._state in (HEAD, BODY))
        if self._refusal is not None:
            self.write(encode_last_reply(self._refusal))
        self._pipeline.clear()
        self._receiving, self._state = None, READ_CLOSED
        self._deadlines.expect_nothing()
        self._balance_reading()
        if not client_is_sending:
            self._transport.close()
        elif not self._transport.is_closing():
            self._state = LINGERING
            self._deadlines.expect_close(self._loop.time())
            self._transport.write_eof()


def connection_factory(context: ServerContext) -> Callable[[], asyncio.Protocol]:
    """What an event loop calls for each new connection of a server."""
    return lambda: cast(asyncio.Protocol, ServerConnection(context))


def _address(name: tuple[Any, ...] | None) -> Address | None:
    return None if not name else (name[0], name[1])
