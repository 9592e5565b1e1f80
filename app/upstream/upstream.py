"""Sends requests to the app servers, for edges and workers, and chooses the app server for each."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from time import monotonic

from app.errors import MalformedRequest, UpstreamCircuitOpen, UpstreamRefused
from app.http1.client.connection import OnSent
from app.http1.client.pool import ConnectionPool
from app.http1.client.request import encode_head
from app.http1.interim import OnInterim
from app.upstream.breaker import LONGEST_BACKOFF_S, Permit
from app.upstream.response import UpstreamResponse
from app.upstream.server import UpstreamServer
from app.web.headers import Headers


class Upstream:
    """The app servers, used in turn; those whose circuit breaker is open are skipped.

    While all breakers are open, `fail_fast` decides what happens to a request that is not a probe: a worker's request
    fails at once with UpstreamCircuitOpen, a live request is sent all the same.

    A live GET or HEAD without a body is sent once more if a kept connection closes before any of the answer: the app
    server may have closed it before the request arrived (RFC 9110, 9.2.2). A worker's request is not: it takes a slot
    for each time that it is sent.
    """

    def __init__(self, pools: Sequence[ConnectionPool], *, fail_fast: bool = False) -> None:
        self._turn = 0
        self._fail_fast = fail_fast
        self.changed = asyncio.Event()
        """Set when a breaker has opened or closed; whoever waits for it clears it."""
        self._servers = [UpstreamServer(pool, self.changed) for pool in pools]

    @property
    def all_open(self) -> bool:
        """Whether the breakers of all app servers are open."""
        return all(server.breaker.is_open for server in self._servers)

    def breakers_open(self) -> dict[str, bool]:
        """Whether its breaker is open, by app server (host and port)."""
        return {server.pool.authority.decode(): server.breaker.is_open for server in self._servers}

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
        on_interim: OnInterim | None = None,
    ) -> UpstreamResponse:
        """Send one request and wait for the head of its answer.

        A request whose connection is refused goes to another app server; what an app server may have read is not sent
        again, except as the class says. A streaming body is sent while the answer is read; a body of bytes costs less.
        `sent` is called once the head of the request has been written, `on_interim` for each interim answer. Raises
        UpstreamCircuitOpen, UpstreamRefused, UpstreamCut, UpstreamTimeout, MalformedRequest, and whatever the body
        raises.
        """
        for _ in range(len(self._servers) - 1):
            answer = self.begin(method, target, headers, body, on_interim)
            try:
                await answer.receive_head(sent)
            except UpstreamRefused:
                if self.all_open:
                    raise
            else:
                return answer
        answer = self.begin(method, target, headers, body, on_interim)
        await answer.receive_head(sent)
        return answer

    def begin(
        self,
        method: str,
        target: bytes,
        headers: Headers,
        body: AsyncIterator[bytes] | bytes | None,
        on_interim: OnInterim | None = None,
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
        is_head = method == "HEAD"
        repeatable = (is_head or method == "GET") and not length and not self._fail_fast
        return UpstreamResponse(server, permit, (head, body, length, is_head, on_interim), repeatable=repeatable)

    async def preconnect(self) -> None:
        """Open a connection for the next request, unless one is idle or the app server recently failed."""
        if self._servers:
            server = self._servers[(self._turn + 1) % len(self._servers)]
            if server.should_preconnect:
                await server.preconnect()

    def _pick(self) -> tuple[UpstreamServer, Permit]:
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

    def _next_server(self) -> UpstreamServer:
        self._turn = (self._turn + 1) % len(self._servers)
        return self._servers[self._turn]

    def _any_server(self) -> UpstreamServer:
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
