"""Sends requests to the app servers, for edges and workers, and chooses the app server for each."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Self

from app.errors import MalformedRequest, UpstreamCircuitOpen, UpstreamRefused
from app.http1.client.connection import ClientConnection, OnSent
from app.http1.client.pool import ConnectionPool
from app.http1.client.request import encode_head
from app.http1.client.response import Response
from app.upstream.breaker import LONGEST_BACKOFF_S, Permit
from app.upstream.server_breaker import ConnectionResult, ServerBreaker, connection_result
from app.web.headers import Headers, from_upstream

NO_RESPONSE = Response()

_Request = tuple[bytes, AsyncIterator[bytes] | bytes, int, bool]
"""The head, the body, the announced length of the body, and whether the method is HEAD."""


@dataclass(frozen=True, slots=True)
class _Server:
    pool: ConnectionPool
    breaker: ServerBreaker


class UpstreamResponse:
    """An app server's answer to a request that has been sent or still waits for a connection.

    After `receive_head` the status and the headers are available and the body can be read as a stream. The caller then
    closes the answer (it is a context manager). Closing before the end of the body discards the connection.
    """

    __slots__ = ("_connection", "_permit", "_request", "_response", "_server", "_upstream", "headers", "status")

    def __init__(self, upstream: "Upstream", server: _Server, permit: Permit, request: _Request) -> None:
        self._upstream = upstream
        self._server = server
        self._permit = permit
        self._request: _Request | None = request
        self._response = NO_RESPONSE
        self._connection = server.pool.take_idle()
        self.status = 0
        self.headers: Headers = []
        if self._connection is not None:
            self._begin(self._connection, request)

    @property
    def is_sent(self) -> bool:
        """Whether the head of the request has been written."""
        return self._request is None

    def _begin(self, connection: ClientConnection, request: _Request) -> None:
        self._request = None
        head, body, length, is_head_request = request
        connection.send_request(head, body, length, is_head_request=is_head_request)

    async def receive_head(self, sent: OnSent | None = None) -> None:
        """Wait for the status and the headers; call this once. `sent` is called when the request has been written.

        Raises UpstreamRefused, UpstreamCut, UpstreamTimeout, and whatever the request's body raises.
        """
        try:
            connection = self._connection
            if connection is None or self._request is not None:
                connection = self._connection = await self._server.pool.connect()
                assert self._request is not None, "a request without a connection has not been sent"
                self._begin(connection, self._request)
            if sent is not None:
                sent()
            response = self._response = await connection.receive_head()
            self.headers = from_upstream(response.headers)
            self.status = response.status
        except BaseException as error:
            self.close()
            self._upstream.record(self._server.breaker, self._permit, connection_result(error))
            raise
        self._upstream.record(self._server.breaker, self._permit, ConnectionResult.ANSWERED)

    @property
    def complete(self) -> bool:
        """Whether the whole body has been read."""
        return self._response.complete and not self._response.buffered_bytes

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


class Upstream:
    """The app servers, used in turn; those whose circuit breaker is open are skipped.

    While all breakers are open, `fail_fast` decides what happens to a request that is not a probe: a worker's request
    fails at once with UpstreamCircuitOpen, a live request is sent all the same.
    """

    def __init__(self, pools: Sequence[ConnectionPool], *, fail_fast: bool = False) -> None:
        self._servers = [_Server(pool, ServerBreaker()) for pool in pools]
        self._turn = 0
        self._fail_fast = fail_fast
        self.changed = asyncio.Event()
        """Set when a breaker has opened or closed; whoever waits for it clears it."""

    @property
    def all_open(self) -> bool:
        """Whether the breakers of all app servers are open."""
        return all(server.breaker.is_open for server in self._servers)

    @property
    def capacity(self) -> float:
        """How many requests may begin now."""
        now = monotonic()
        return sum(server.breaker.capacity(now) for server in self._servers)

    @property
    def has_capacity(self) -> bool:
        """Whether a request may begin now."""
        for server in self._servers:
            if server.breaker.is_closed:
                return True
        return self.capacity > 0

    @property
    def wait_s(self) -> float:
        """Seconds until there may be capacity, if `changed` is not set before."""
        now = monotonic()
        return min((server.breaker.wait_s(now) for server in self._servers), default=LONGEST_BACKOFF_S)

    async def send(
        self,
        method: str,
        target: bytes,
        headers: Headers,
        body: AsyncIterator[bytes] | bytes | None,
        sent: OnSent | None = None,
    ) -> UpstreamResponse:
        """Send one request and wait for the head of its answer.

        A request whose connection is refused goes to another app server; what has been sent is never sent again.
        A streaming body is sent while the answer is read; a body of bytes costs less. `sent` is called once the head
        of the request has been written. Raises UpstreamCircuitOpen, UpstreamRefused, UpstreamCut, UpstreamTimeout,
        MalformedRequest, and whatever the body raises.
        """
        for _ in range(len(self._servers) - 1):
            answer = self.begin(method, target, headers, body)
            try:
                await answer.receive_head(sent)
            except UpstreamRefused:
                if not any(server.breaker.is_closed for server in self._servers):
                    raise
            else:
                return answer
        answer = self.begin(method, target, headers, body)
        await answer.receive_head(sent)
        return answer

    def begin(
        self, method: str, target: bytes, headers: Headers, body: AsyncIterator[bytes] | bytes | None
    ) -> UpstreamResponse:
        """Send one request if a connection is idle; otherwise `receive_head` opens one and sends it.

        The caller must await `receive_head`. Raises UpstreamCircuitOpen, UpstreamRefused, MalformedRequest.
        """
        server, permit = self._pick()
        pool, body = server.pool, body or b""
        known = len(body) if isinstance(body, bytes) else None
        try:
            head, length = encode_head(method, pool.path + target, headers, pool.authority, known)
        except MalformedRequest:
            server.breaker.not_sent(permit, monotonic())
            raise
        return UpstreamResponse(self, server, permit, (head, body, length, method == "HEAD"))

    async def preconnect(self) -> None:
        """Open a connection for the next request, unless one is idle or the app server recently failed."""
        if self._servers:
            server = self._servers[(self._turn + 1) % len(self._servers)]
            if not server.pool.idle and server.breaker.is_settled:
                try:
                    server.pool.release(await server.pool.connect(), None)
                except UpstreamRefused:
                    self.record(server.breaker, Permit.REGULAR, ConnectionResult.REFUSED)

    def record(self, breaker: ServerBreaker, permit: Permit, result: ConnectionResult) -> None:
        """Tell a breaker how a request ended."""
        if result is ConnectionResult.ANSWERED and breaker.is_settled:
            return
        was_open = breaker.is_open
        breaker.end(permit, result, monotonic())
        if breaker.is_open is not was_open:
            self.changed.set()

    def _pick(self) -> tuple[_Server, Permit]:
        if not self._servers:
            raise UpstreamRefused("No app server is configured (PENSTOCK_UPSTREAMS).")
        now = monotonic()
        for _ in self._servers:
            server = self._next_server()
            permit = server.breaker.begin(now)
            if permit is not None:
                return server, permit
        if self._fail_fast:
            raise UpstreamCircuitOpen("The circuit breakers of all app servers are open.")
        return self._any_server(), Permit.PROBE

    def _next_server(self) -> _Server:
        self._turn = (self._turn + 1) % len(self._servers)
        return self._servers[self._turn]

    def _any_server(self) -> _Server:
        """The next app server in turn, although none has capacity; one that is recovering before one that is not."""
        for _ in self._servers:
            server = self._next_server()
            if not server.breaker.is_open:
                return server
        return self._next_server()

    async def close(self) -> None:
        """Close all connections, including those in use."""
        for server in self._servers:
            await server.pool.close()
