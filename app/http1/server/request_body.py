"""The body of a request, buffered between the connection that receives it and the application that reads it."""

import asyncio

from app.errors import ClientGone
from app.http1.server.interface import ConnectionInterface
from app.http1.server.response_writer import ResponseWriter

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class RequestBody:
    """A request's body. The connection feeds it, as asyncio's StreamReader is fed; the application reads it.

    `complete`: all of it has been received. `consumed`: all of it has been read. `closed`: nothing more is received,
    because the client is gone or the response is finished. `awaits_continue`: the client has not been sent the
    `100 Continue` that it asked for.
    """

    __slots__ = (
        "_changed",
        "_chunks",
        "_connection",
        "_response",
        "awaits_continue",
        "buffered_bytes",
        "closed",
        "complete",
        "consumed",
        "received_bytes",
    )

    def __init__(self, connection: ConnectionInterface, response: ResponseWriter, *, awaits_continue: bool) -> None:
        self._connection = connection
        self._response = response
        self._chunks: list[bytes] = []
        self._changed: asyncio.Event | None = None
        self.awaits_continue = awaits_continue
        self.buffered_bytes = self.received_bytes = 0
        self.complete = self.consumed = self.closed = False

    # Called by the connection

    def feed_data(self, data: bytes) -> None:
        """Append a chunk that has been received."""
        self._chunks.append(data)
        self.buffered_bytes += len(data)
        self._notify()

    def feed_eof(self) -> None:
        """Mark the body as complete."""
        self.complete = True
        self._notify()

    def close(self) -> None:
        """Let reading raise ClientGone from now on."""
        self.closed = True
        self._notify()

    def discard(self) -> None:
        """Close the body and drop what has been received and not read."""
        self._chunks.clear()
        self.buffered_bytes = 0
        self.close()

    # Called by the application

    def read_if_complete(self) -> bytes | None:
        """The whole body if all of it has been received and none of it has been read, otherwise None."""
        unread = self.complete and not self.consumed and self.received_bytes == self.buffered_bytes
        return self.read_nowait() if unread else None

    async def read(self) -> bytes:
        """What has been received since the last call, as soon as there is something; empty only at the end.

        Raises ClientGone when the body is closed.
        """
        while not (self._chunks or self.complete or self.closed):
            if self.awaits_continue and not self._response.started:
                self.awaits_continue = False
                self._connection.write(CONTINUE)
            self._connection.body_requested()
            await self.wait_for_change()
        if self.closed:
            raise ClientGone
        return self.read_nowait()

    def read_nowait(self) -> bytes:
        """What has been received since the last call; may be empty."""
        chunks = self._chunks
        self.consumed = self.complete
        if not chunks:
            return b""
        self._chunks = []
        self.buffered_bytes = 0
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def wait_for_change(self) -> None:
        """Wait until more of the body has been received, or it is complete or closed."""
        if self._changed is None:
            self._changed = asyncio.Event()
        self._changed.clear()
        await self._changed.wait()

    def _notify(self) -> None:
        if self._changed is not None:
            self._changed.set()
