"""One connection to an app server: a request at a time, both ways streaming, with backpressure.

No task and no timer of its own a request: a body that streams has a task, and one timer a connection looks now and
then whether the app server is owing something for too long.
"""

import asyncio
import select
from collections.abc import AsyncIterator, Callable
from typing import cast

from app.errors import UpstreamCut, UpstreamTimeout
from app.http1.client.request import CHUNKED
from app.http1.client.response import BadResponse, Response, ResponseReader

MOST_UNREAD_BYTES = 65_536
"""More of an answer is not taken from the network before some of it was read."""

JOINED_BYTES = 65_536
"""Up to this size a body goes out with its head in one piece."""

Sent = Callable[[], None]
Waiter = asyncio.Future[None]


class ClientConnection(asyncio.Protocol):
    """`begin` a request, wait until it is `answered`, `read` to the end of the body, `finish`: then again."""

    def __init__(self, timeout_s: float, on_lost: Callable[["ClientConnection"], None]) -> None:
        self.keep_until = 0.0
        """When an idle one is not used any more, in the loop's time."""
        self._timeout_s = timeout_s
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._reader = ResponseReader()
        self._response: Response | None = None
        self._error: Exception | None = None
        self._transport: asyncio.Transport | None = None
        self._readable = select.poll()
        self._paused = False
        self._waiter: Waiter | None = None
        self._room: Waiter | None = None
        self._full = False
        self._upload: asyncio.Task[None] | None = None
        self._clients_turn = False
        self._timer: asyncio.TimerHandle | None = None
        self._owing_since = 0.0
        self._unsent = 0

    # A request

    @property
    def usable(self) -> bool:
        """Whether a request may be sent: open, and silent, which is asked of the system: the loop may not know yet."""
        return self._transport is not None and not self._transport.is_closing() and not self._readable.poll(0)

    def begin(self, head: bytes, body: bytes | AsyncIterator[bytes], length: int, *, to_head: bool) -> None:
        """Send a request; a body that streams follows while the answer is read."""
        transport = self._transport
        assert self._response is None
        self._response = self._reader.expect(to_head=to_head)
        self._error = None
        if transport is None or transport.is_closing():
            self._error = UpstreamCut("The app server closed the connection before the request was sent.")
        elif not isinstance(body, bytes):
            transport.write(head)
            self._clients_turn = True
            self._upload = self._loop.create_task(self._send(body, length))
        elif len(body) <= JOINED_BYTES:
            transport.write(head + body)
        else:
            transport.writelines((head, body))

    async def answered(self) -> Response:
        """The answer, once its head is here. Raises UpstreamError, or what the request's body raised."""
        response = self._current()
        while not response.status and self._error is None:
            await self._news()
        if self._error is not None:
            raise self._error
        return response

    async def more(self) -> None:
        """Wait until more of the answer's body is here, or its end. Raises as `answered` does."""
        response = self._current()
        while not response.size and not response.complete and self._error is None:
            await self._news()
        if self._error is not None and not response.size and not response.complete:
            raise self._error

    def take(self) -> bytes:
        """What is here of the answer's body."""
        chunk = self._current().take()
        if self._paused:
            self._resume_reading()
        return chunk

    def finish(self) -> bool:
        """Let go of the request. Whether another may follow; where the two sides could disagree it is cut."""
        response, self._response = self._response, None
        upload, self._upload = self._upload, None
        self._clients_turn = False
        sent = upload is None or upload.done()
        if upload is not None and not sent:
            upload.cancel()
        transport = self._transport
        if (
            transport is not None
            and response is not None
            and response.complete
            and response.clean
            and sent
            and self._error is None
            and not transport.is_closing()
            and not transport.get_write_buffer_size()
        ):
            if self._paused:
                self._resume_reading()
            return True
        self.cut()
        return False

    def cut(self) -> None:
        """Close at once, in the middle of whatever it is."""
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close an idle one."""
        if self._transport is not None:
            self._transport.close()

    # The network's side: asyncio calls these

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are like it, and no subclass
        self._readable.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        """Some of an answer, or what nobody asked for."""
        response = self._response
        if response is None:
            self.cut()
            return
        try:
            self._reader.feed(data)
        except BadResponse as error:
            self._fail(UpstreamCut(f"The app server's answer is not valid HTTP: {error}."))
            return
        if response.size > MOST_UNREAD_BYTES and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        if response.status:
            _wake(self._waiter)

    def eof_received(self) -> None:
        """The app server sends no more; the connection is closed then."""
        if self._response is not None and self._error is None:
            try:
                self._reader.end()
            except BadResponse as error:
                self._error = UpstreamCut(f"The app server's answer is not whole: {error}.")
            _wake(self._waiter)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed."""
        self._transport = None
        if self._error is None and self._response is not None and not self._response.complete:
            why = f": {exc}" if exc else ""
            self._error = UpstreamCut(f"The connection to the app server ended before its answer did{why}.")
        if self._timer is not None:
            self._timer.cancel()
        _wake(self._waiter)
        _wake(self._room)
        self._on_lost(self)

    def pause_writing(self) -> None:
        """The app server takes no more for now."""
        self._full = True

    def resume_writing(self) -> None:
        """It does again."""
        self._full = False
        self._owing_since = self._loop.time()
        _wake(self._room)

    # Within

    def _current(self) -> Response:
        if self._response is None:
            raise RuntimeError("no request is under way")
        return self._response

    def _fail(self, error: Exception) -> None:
        if self._error is None:
            self._error = error
        _wake(self._waiter)
        self.cut()

    def _resume_reading(self) -> None:
        self._paused = False
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    async def _news(self) -> None:
        self._expect_something()
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    async def _send(self, body: AsyncIterator[bytes], length: int) -> None:
        """The rest of a request; what the body raises is the request's end."""
        left = length
        try:
            async for chunk in body:
                if self._transport is None or self._transport.is_closing():
                    return
                self._clients_turn = False
                if length == CHUNKED:
                    if chunk:
                        self._transport.writelines((b"%x\r\n" % len(chunk), chunk, b"\r\n"))
                else:
                    left -= len(chunk)
                    if left < 0:
                        break
                    self._transport.write(chunk)
                while self._full and self._transport is not None:
                    await self._until_room()
                self._clients_turn = True
        except Exception as error:
            self._fail(error)
            return
        if length == CHUNKED:
            if self._transport is not None and not self._transport.is_closing():
                self._transport.write(b"0\r\n\r\n")
        elif left:
            self._fail(UpstreamCut("The request's body is not as long as was announced."))
        self._clients_turn = False
        self._owing_since = self._loop.time()

    async def _until_room(self) -> None:
        self._expect_something()
        self._room = self._loop.create_future()
        try:
            await self._room
        finally:
            self._room = None

    def _expect_something(self) -> None:
        """From now on the app server is owing."""
        self._owing_since = self._loop.time()
        self._unsent = self._transport.get_write_buffer_size() if self._transport is not None else 0
        if self._timer is None:
            self._timer = self._loop.call_later(self._timeout_s, self._look)

    def _look(self) -> None:
        """Whether it has been owing for too long. A slow client is not the app server's fault."""
        self._timer = None
        if self._transport is None or (self._waiter is None and self._room is None):
            return
        unsent = self._transport.get_write_buffer_size()
        if self._clients_turn or 0 < unsent < self._unsent:
            self._owing_since = self._loop.time()
        self._unsent = unsent
        left_s = self._owing_since + self._timeout_s - self._loop.time()
        if left_s > 0:
            self._timer = self._loop.call_later(left_s, self._look)
        else:
            self._fail(UpstreamTimeout("The app server did not answer in time."))
            _wake(self._room)


def _wake(waiter: Waiter | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
