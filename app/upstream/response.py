"""One request to an app server, and its answer as it arrives."""

from collections.abc import AsyncIterator
from time import time
from types import TracebackType
from typing import Self

from app.errors import UpstreamReset
from app.http1.client.connection import ClientConnection, OnSent
from app.http1.client.response import Response
from app.http1.interim import OnInterim
from app.upstream.breaker import Permit
from app.upstream.server import UpstreamServer
from app.upstream.server_breaker import ConnectionResult, connection_result
from app.web.dates import date
from app.web.headers import Headers, from_upstream, value_of

NO_RESPONSE = Response()

EncodedRequest = tuple[bytes, AsyncIterator[bytes] | bytes, int, bool, OnInterim | None]
"""The head, the body, the announced length of the body, whether the method is HEAD, and what hears of interim answers.
"""


class UpstreamResponse:
    """An app server's answer to a request that has been sent or still waits for a connection.

    After `receive_head` the status and the headers are available and the body can be read as a stream. The caller then
    closes the answer (it is a context manager). Closing before the end of the body discards the connection.
    """

    __slots__ = ("_connection", "_permit", "_repeatable", "_request", "_response", "_server", "headers", "status")

    def __init__(self, server: UpstreamServer, permit: Permit, request: EncodedRequest, *, repeatable: bool) -> None:
        """`repeatable`: it may be sent once more, if a connection that had been kept closes without any answer."""
        self._server = server
        self._permit = permit
        self._request: EncodedRequest | None = request
        self._response = NO_RESPONSE
        self._connection = server.pool.take_idle()
        self._repeatable = request if repeatable and self._connection is not None else None
        self.status = 0
        self.headers: Headers = []
        if self._connection is not None:
            self._begin(self._connection, request)

    @property
    def is_sent(self) -> bool:
        """Whether the head of the request has been written."""
        return self._request is None

    def _begin(self, connection: ClientConnection, request: EncodedRequest) -> None:
        self._request = None
        head, body, length, is_head_request, on_interim = request
        connection.send_request(head, body, length, is_head_request=is_head_request, on_interim=on_interim)

    async def receive_head(self, sent: OnSent | None = None) -> None:
        """Wait for the status and the headers; call this once. `sent` is called when the request has been written.

        Raises UpstreamRefused, UpstreamCut, UpstreamTimeout, and whatever the request's body raises.
        """
        try:
            connection = self._connection
            if connection is None or self._request is not None:
                assert self._request is not None, "a request without a connection has not been sent"
                connection = await self._connect(self._request)
            if sent is not None:
                sent()
            try:
                response = self._response = await connection.receive_head()
            except UpstreamReset:
                if self._repeatable is None:
                    raise
                self.close()
                connection = await self._connect(self._repeatable)
                response = self._response = await connection.receive_head()
            headers = self.headers = from_upstream(response.headers)
            if value_of(headers, b"date") is None:  # RFC 9110, 6.6.1
                headers.append((b"date", date(int(time()))))
            self.status = response.status
        except BaseException as error:
            self.close()
            self._server.record(self._permit, connection_result(error))
            raise
        self._server.record(self._permit, ConnectionResult.ANSWERED)

    async def _connect(self, request: EncodedRequest) -> ClientConnection:
        connection = self._connection = await self._server.pool.connect()
        self._begin(connection, request)
        return connection

    @property
    def complete(self) -> bool:
        """Whether the whole body has been read."""
        return self._response.complete and not self._response.buffered_bytes

    @property
    def trailers(self) -> Headers:
        """What came after the body, once it is complete. The names are in lower case."""
        return self._response.trailers

    def read_nowait(self) -> bytes:
        """Return what has arrived of the body since the last call; empty if nothing has."""
        connection = self._connection
        if connection is None:
            return b""
        chunk = connection.read_nowait()
        if self._response.complete:
            self.close()
        return chunk

    async def read(self) -> bytes:
        """Wait for more of the body and return it; empty at the end of the body. Raises UpstreamError."""
        if self._connection is not None and not self._response.buffered_bytes:
            await self._connection.wait_for_body()
        return self.read_nowait()

    def close(self) -> None:
        """Return the connection to its pool, or discard it if the answer is not complete. Further calls do nothing."""
        connection, self._connection = self._connection, None
        if connection is not None and connection.finish_request():
            self._server.pool.release(connection, self._response.keep_alive_timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
