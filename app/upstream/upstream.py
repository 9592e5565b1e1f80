"""One request to the app servers, for edges and workers alike."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Self

from app.errors import MalformedRequest, UpstreamError, UpstreamHeld, UpstreamRefused
from app.http1.client.connection import ClientConnection, Sent
from app.http1.client.pool import Pool
from app.http1.client.request import encode_head
from app.http1.client.response import Response
from app.upstream.breaker import LONGEST_BACKOFF_S, Breaker, Health, Ticket
from app.web.headers import Headers, from_upstream, retry_after_s

BUSY_STATUSES = frozenset({502, 503, 504})
NO_RESPONSE = Response()

_Request = tuple[bytes, AsyncIterator[bytes] | bytes, int, bool]
"""Its head, its body, the length of that as announced, and whether its method is HEAD."""


@dataclass(frozen=True, slots=True)
class _Server:
    pool: Pool
    breaker: Breaker


class UpstreamResponse:
    """An app server's answer, to a request that is on its way or waits for a connection.

    Once `arrived`, status and headers are there, and the body streams. Whoever has it then closes it (it is a context
    manager): what was not read is given up, and its connection with it.
    """

    __slots__ = ("_connection", "_request", "_response", "_server", "_ticket", "_upstream", "headers", "status")

    def __init__(self, upstream: "Upstream", server: _Server, ticket: Ticket | None, request: _Request) -> None:
        self._upstream = upstream
        self._server = server
        self._ticket = ticket
        self._request: _Request | None = request
        self._response = NO_RESPONSE
        self._connection = server.pool.take()
        self.status = 0
        self.headers: Headers = []
        if self._connection is not None:
            self._begin(self._connection, request)

    @property
    def is_sent(self) -> bool:
        """Whether its request's head is on its way."""
        return self._request is None

    def _begin(self, connection: ClientConnection, request: _Request) -> None:
        self._request = None
        head, body, length, to_head = request
        connection.begin(head, body, length, to_head=to_head)

    async def arrived(self, sent: Sent | None = None) -> None:
        """Wait for the head. `sent` is called once the request's is on its way. To be called once.

        Raises UpstreamRefused, UpstreamCut, UpstreamTimeout; whatever the request's body raises.
        """
        health, wait_s = Health.UNCLEAR, 0.0
        try:
            connection = self._connection
            if connection is None or self._request is not None:
                connection = self._connection = await self._server.pool.connect()
                assert self._request is not None, "it was not sent"
                self._begin(connection, self._request)
            if sent is not None:
                sent()
            response = self._response = await connection.answered()
            self.status = response.status
            self.headers = from_upstream(response.headers)
            health = Health.ALIVE
            if response.status in BUSY_STATUSES:
                health, wait_s = Health.BUSY, retry_after_s(self.headers)
        except UpstreamRefused:
            health = Health.REFUSED
            raise
        finally:
            if not self.status:
                self.close()
            if self._ticket is not None:
                self._upstream.learn(self._server.breaker, self._ticket, health, wait_s)

    @property
    def over(self) -> bool:
        """Whether all of the body has been read."""
        return self._response.complete and not self._response.size

    def take(self) -> bytes:
        """What has come of the body since; nothing, if nothing has."""
        connection = self._connection
        if connection is None:
            return b""
        chunk = connection.take()
        if self._response.complete:
            self.close()
        return chunk

    async def read(self) -> bytes:
        """The same, but waits until there is something; empty when it is over. Raises UpstreamError."""
        if self._connection is not None and not self._response.size:
            await self._connection.more()
        return self.take()

    def close(self) -> None:
        """Give back the connection, once; cut it where the answer has not ended."""
        connection, self._connection = self._connection, None
        if connection is not None and connection.finish():
            self._server.pool.give_back(connection, self._response.kept_for_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Upstream:
    """The app servers, in turn, but for those that are away (app/upstream/breaker.py).

    With `hold` nothing at all is sent while all are away, but for probes; without, as to a caller who waits, it is
    tried all the same.
    """

    def __init__(self, pools: Sequence[Pool], *, hold: bool = False) -> None:
        self._servers = [_Server(pool, Breaker()) for pool in pools]
        self._turn = 0
        self._hold = hold
        self.news = asyncio.Event()
        """Set when a breaker has opened or closed; who waits for it clears it."""

    @property
    def away(self) -> bool:
        """Whether all app servers are."""
        return all(server.breaker.is_open for server in self._servers)

    @property
    def room(self) -> float:
        """How many requests may begin now."""
        now = monotonic()
        return sum(server.breaker.room(now) for server in self._servers)

    @property
    def has_room(self) -> bool:
        """Whether one may."""
        for server in self._servers:
            if server.breaker.is_closed:
                return True
        return self.room > 0

    @property
    def wait_s(self) -> float:
        """How long until there may be room, if there are no news before."""
        now = monotonic()
        return min((server.breaker.wait_s(now) for server in self._servers), default=LONGEST_BACKOFF_S)

    async def send(
        self,
        method: str,
        target: bytes,
        headers: Headers,
        body: AsyncIterator[bytes] | bytes | None,
        sent: Sent | None = None,
    ) -> UpstreamResponse:
        """Send one request, once: what may have been acted on is not sent again. The target goes as it came.

        A body that streams is sent while the answer is read; one that is there costs less. `sent` is called once the
        request's head is on its way. Raises UpstreamHeld, UpstreamRefused, UpstreamCut, UpstreamTimeout; whatever the
        body raises; MalformedRequest.
        """
        answer = self.begin(method, target, headers, body)
        await answer.arrived(sent)
        return answer

    def begin(
        self, method: str, target: bytes, headers: Headers, body: AsyncIterator[bytes] | bytes | None
    ) -> UpstreamResponse:
        """The same as far as it goes without waiting: a request for which a connection is open is sent.

        Raises UpstreamHeld, UpstreamRefused, MalformedRequest. Whoever calls this waits for the answer.
        """
        server, ticket = self._pick()
        pool, body = server.pool, body or b""
        known = len(body) if isinstance(body, bytes) else None
        try:
            head, length = encode_head(method, pool.path + target, headers, pool.authority, known)
        except MalformedRequest:
            if ticket is not None:
                self.learn(server.breaker, ticket, Health.UNCLEAR, 0.0)
            raise
        return UpstreamResponse(self, server, ticket, (head, body, length, method == "HEAD"))

    async def warm(self) -> None:
        """Have a connection open for the next request, where that is not known to be in vain."""
        if self._servers:
            server = self._servers[(self._turn + 1) % len(self._servers)]
            if not server.pool.idle and server.breaker.is_healthy:
                with suppress(UpstreamError):  # whoever sends the request is told
                    server.pool.give_back(await server.pool.connect(), None)

    def learn(self, breaker: Breaker, ticket: Ticket, health: Health, wait_s: float) -> None:
        """What came of a request."""
        if health is Health.ALIVE and breaker.is_healthy:
            return
        was_open = breaker.is_open
        breaker.end(ticket, health, monotonic(), wait_s)
        if was_open or breaker.is_open:
            self.news.set()

    def _pick(self) -> tuple[_Server, Ticket | None]:
        if not self._servers:
            raise UpstreamRefused("No app server is configured (PENSTOCK_UPSTREAMS).")
        now = monotonic()
        for _ in self._servers:
            self._turn = (self._turn + 1) % len(self._servers)
            server = self._servers[self._turn]
            ticket = server.breaker.begin(now)
            if ticket is not None:
                return server, ticket
        if self._hold:
            raise UpstreamHeld("The app servers are away.")
        return server, None

    async def close(self) -> None:
        """Close all connections, those in use too."""
        for server in self._servers:
            await server.pool.close()
