"""One connection to an app server: one request at a time, streaming with backpressure in both directions.

For speed, a request has neither a task nor a timer of its own. Only a body that streams is sent by a task, and each
connection has one timer, which checks now and then whether the app server has made progress.
"""

import asyncio
import os
import select
from collections.abc import AsyncIterator, Callable
from typing import cast

from app.errors import UpstreamCut, UpstreamReset, UpstreamTimeout
from app.http1.client.request import CHUNKED
from app.http1.client.response import BadResponse, Response, ResponseReader
from app.http1.interim import OnInterim

MAX_BUFFERED_BYTES = 65_536
"""Reading pauses while more than this of a response's body waits to be read by the caller."""

MAX_JOINED_BYTES = 65_536
"""A body up to this size is copied behind its head, so that both leave in one piece."""

MAX_RESCUED_BYTES = 1 << 20
"""How much is read of a response whose connection broke off during the upload."""

OnSent = Callable[[], None]
Waiter = asyncio.Future[None]


class ClientConnection(asyncio.Protocol):
    """A connection on which requests follow each other.

    For each one call `send_request`, await `receive_head`, then `wait_for_body` and `read_nowait` until the response is
    complete, and call `finish_request`.
    """

    def __init__(self, timeout_s: float, on_lost: Callable[["ClientConnection"], None]) -> None:
        self.expires_at = 0.0
        """When the connection may no longer be reused, in seconds of the event loop's clock."""
        self._timeout_s = timeout_s
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._reader = ResponseReader()
        self._response: Response | None = None
        self._error: Exception | None = None
        self._transport: asyncio.Transport | None = None
        self._socket_poll = select.poll()
        self._reading_paused = False
        self._read_waiter: Waiter | None = None
        self._drain_waiter: Waiter | None = None
        self._writing_paused = False
        self._upload: asyncio.Task[None] | None = None
        self._upload_is_idle = False
        self._upload_file: int | None = None
        """During an upload: the socket once more, which can still be read when the transport has given up."""
        self._broke_in_upload = False
        self._timer: asyncio.TimerHandle | None = None
        self._progress_at = 0.0
        self._unsent_bytes = 0

    # A request

    @property
    def is_reusable(self) -> bool:
        """Whether the connection is open and nothing has been received on it.

        The operating system is asked, because the event loop may not have read yet what has arrived.
        """
        return self._transport is not None and not self._transport.is_closing() and not self._socket_poll.poll(0)

    def send_request(
        self,
        head: bytes,
        body: bytes | AsyncIterator[bytes],
        length: int,
        *,
        is_head_request: bool,
        on_interim: OnInterim | None = None,
    ) -> None:
        """Send a request. A body that is an iterator is sent by a task, while the response may already arrive."""
        transport = self._transport
        assert self._response is None
        self._response = self._reader.expect(is_head_request=is_head_request, on_interim=on_interim)
        self._error = None
        if transport is None or transport.is_closing():
            self._error = UpstreamReset("The app server closed the connection before the request was sent.")
        elif not isinstance(body, bytes):
            transport.write(head)
            self._upload_is_idle = True
            if transport.get_extra_info("ssl_object") is None:
                self._upload_file = _duplicated(transport)
            self._upload = self._loop.create_task(self._send_body(body, length))
        elif len(body) <= MAX_JOINED_BYTES:
            transport.write(head + body)
        else:
            transport.writelines((head, body))

    async def receive_head(self) -> Response:
        """Wait for the status and the headers. Raises UpstreamError, and whatever the request's body raises."""
        response = self._current()
        while not response.status and self._error is None:
            await self._wait_readable()
        if self._error is not None and not (response.status and self._broke_in_upload):
            raise self._error
        return response

    async def wait_for_body(self) -> None:
        """Wait until more of the body can be read, or it is complete. Raises as `receive_head` does."""
        response = self._current()
        while not response.buffered_bytes and not response.complete and self._error is None:
            await self._wait_readable()
        if self._error is not None and not response.buffered_bytes and not response.complete:
            raise self._error

    def read_nowait(self) -> bytes:
        """What has been received of the body since the last call; may be empty."""
        chunk = self._current().read_nowait()
        if self._reading_paused:
            self._resume_reading()
        return chunk

    def finish_request(self) -> bool:
        """End the request, and return whether the connection may carry another.

        The connection is aborted where client and server could disagree on where the next message begins.
        """
        response, self._response = self._response, None
        upload, self._upload = self._upload, None
        self._upload_is_idle = self._broke_in_upload = False
        self._close_upload_file()
        is_sent = upload is None or upload.done()
        if upload is not None and not is_sent:
            upload.cancel()
        transport = self._transport
        if (
            transport is not None
            and response is not None
            and response.complete
            and response.keep_alive
            and is_sent
            and self._error is None
            and not transport.is_closing()
            and not transport.get_write_buffer_size()
        ):
            if self._reading_paused:
                self._resume_reading()
            return True
        self.abort()
        return False

    def abort(self) -> None:
        """Close the connection at once, whatever it is doing."""
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close the idle connection."""
        if self._transport is not None:
            self._transport.close()

    # Called by asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio when the connection is open."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports do not inherit from asyncio's
        self._socket_poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        """Called by asyncio when bytes have been received. Unsolicited ones end the connection."""
        response = self._response
        if response is None:
            self.abort()
            return
        try:
            self._reader.feed(data)
        except BadResponse as error:
            self._fail(UpstreamCut(f"The app server's response is not valid HTTP: {error}."))
            return
        if response.buffered_bytes > MAX_BUFFERED_BYTES and not self._reading_paused and self._transport is not None:
            self._reading_paused = True
            self._transport.pause_reading()
        if response.status:
            _wake(self._read_waiter)

    def eof_received(self) -> None:
        """Called by asyncio when the app server has closed its side; asyncio closes the connection then."""
        if self._response is not None and self._error is None:
            try:
                self._reader.feed_eof()
            except BadResponse as error:
                self._error = self._cut_error()(f"The app server's response is incomplete: {error}.")
            _wake(self._read_waiter)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio when the connection is closed."""
        self._transport = None
        if self._upload_file is not None:
            self._rescue_response()
            self._close_upload_file()
        if self._error is None and self._response is not None and not self._response.complete:
            why = f": {exc}" if exc else ""
            self._error = self._cut_error()(f"The connection to the app server ended before the response did{why}.")
        if self._timer is not None:
            self._timer.cancel()
        _wake(self._read_waiter)
        _wake(self._drain_waiter)
        self._on_lost(self)

    def pause_writing(self) -> None:
        """Called by asyncio when the app server reads more slowly than the request is written."""
        self._writing_paused = True

    def resume_writing(self) -> None:
        """Called by asyncio when the app server has caught up."""
        self._writing_paused = False
        self._progress_at = self._loop.time()
        _wake(self._drain_waiter)

    # Responses

    def _current(self) -> Response:
        if self._response is None:
            raise RuntimeError("No request is in progress.")
        return self._response

    def _cut_error(self) -> type[UpstreamCut]:
        return UpstreamCut if self._reader.has_begun else UpstreamReset

    def _rescue_response(self) -> None:
        """Read what had arrived when a write failed: the answer of an app server that does not want the whole body.

        Such a server closes the connection with unread input, which resets it. The transport then fails at its next
        write, even if it has not read yet.
        """
        file, response = self._upload_file, self._response
        if file is None or response is None or response.complete or self._error is not None:
            return
        self._broke_in_upload = True
        try:
            while response.buffered_bytes < MAX_RESCUED_BYTES and (data := os.read(file, MAX_BUFFERED_BYTES)):
                self._reader.feed(data)
        except OSError:  # nothing more has arrived
            pass
        except BadResponse as error:
            self._error = UpstreamCut(f"The app server's response is not valid HTTP: {error}.")

    def _close_upload_file(self) -> None:
        file, self._upload_file = self._upload_file, None
        if file is not None:
            os.close(file)

    def _fail(self, error: Exception) -> None:
        if self._error is None:
            self._error = error
        _wake(self._read_waiter)
        self.abort()

    def _resume_reading(self) -> None:
        self._reading_paused = False
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    async def _wait_readable(self) -> None:
        self._start_timeout()
        self._read_waiter = self._loop.create_future()
        try:
            await self._read_waiter
        finally:
            self._read_waiter = None

    # Bodies that stream

    async def _send_body(self, body: AsyncIterator[bytes], length: int) -> None:
        """Send the body of a request. An error that it raises ends the request."""
        remaining = length
        try:
            async for chunk in body:
                if self._transport is None or self._transport.is_closing():
                    return
                self._upload_is_idle = False
                if length == CHUNKED:
                    if chunk:
                        self._transport.writelines((b"%x\r\n" % len(chunk), chunk, b"\r\n"))
                else:
                    remaining -= len(chunk)
                    if remaining < 0:
                        break
                    self._transport.write(chunk)
                while self._writing_paused and self._transport is not None:
                    await self._drain()
                self._upload_is_idle = True
        except Exception as error:
            self._fail(error)
            return
        if length == CHUNKED:
            if self._transport is not None and not self._transport.is_closing():
                self._transport.write(b"0\r\n\r\n")
        elif remaining:
            self._fail(UpstreamCut("The length of the request's body differs from its Content-Length."))
        self._upload_is_idle = False
        self._progress_at = self._loop.time()

    async def _drain(self) -> None:
        self._start_timeout()
        self._drain_waiter = self._loop.create_future()
        try:
            await self._drain_waiter
        finally:
            self._drain_waiter = None

    # The timeout

    def _start_timeout(self) -> None:
        """Expect the app server to make progress from now on. A timer that runs is not replaced, but checks later."""
        self._progress_at = self._loop.time()
        self._unsent_bytes = self._transport.get_write_buffer_size() if self._transport is not None else 0
        if self._timer is None:
            self._timer = self._loop.call_later(self._timeout_s, self._check_timeout)

    def _check_timeout(self) -> None:
        """Fail if the app server has made no progress. It is not to blame while the client's body is awaited."""
        self._timer = None
        if self._transport is None or (self._read_waiter is None and self._drain_waiter is None):
            return
        unsent_bytes = self._transport.get_write_buffer_size()
        if self._upload_is_idle or 0 < unsent_bytes < self._unsent_bytes:
            self._progress_at = self._loop.time()
        self._unsent_bytes = unsent_bytes
        left_s = self._progress_at + self._timeout_s - self._loop.time()
        if left_s > 0:
            self._timer = self._loop.call_later(left_s, self._check_timeout)
        else:
            self._fail(UpstreamTimeout("The app server did not respond in time."))
            _wake(self._drain_waiter)


def _duplicated(transport: asyncio.Transport) -> int | None:
    try:
        return os.dup(transport.get_extra_info("socket").fileno())
    except OSError:  # no more files may be opened
        return None


def _wake(waiter: Waiter | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
