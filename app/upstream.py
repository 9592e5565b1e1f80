"""One request to the app servers, for edges and workers alike."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Self

from app.breaker import LONGEST_BACKOFF_S, Breaker, Health, Ticket
from app.errors import UpstreamHeld, UpstreamRefused
from app.headers import from_upstream, retry_after_s
from app.http1.client.connection import Connection, Sent
from app.http1.client.pool import Pool
from app.http1.client.request import encode_head
from app.http1.client.response import Response
from app.jobs.model import Headers, StoredResponse

BUSY_STATUSES = frozenset({502, 503, 504})


class Answer:
    """An app server's answer: status and headers are there, the body streams.

    Whoever has it closes it (it is a context manager): what was not read is given up, and its connection with it.
    """

    __slots__ = ("_connection", "_pool", "_response", "headers", "status")

    def __init__(self, response: Response, connection: Connection, pool: Pool) -> None:
        self._response = response
        self._connection: Connection | None = connection
        self._pool = pool
        self.status = response.status
        self.headers: Headers = from_upstream(response.headers)

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

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives; raises UpstreamError."""
        while chunk := await self.read():
            yield chunk

    def close(self) -> None:
        """Give back the connection, once; cut it where the answer has not ended."""
        connection, self._connection = self._connection, None
        if connection is not None and connection.finish():
            self._pool.give_back(connection, self._response.kept_for_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class _Server:
    pool: Pool
    breaker: Breaker


class Upstream:
    """The app servers, in turn, but for those that are away (app/breaker.py).

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
    ) -> Answer:
        """Send one request, once: what may have been acted on is not sent again. The target goes as it came.

        A body that streams is sent while the answer is read; one that is there costs less. `sent` is called once the
        request's head is on its way. Raises UpstreamHeld, UpstreamRefused, UpstreamCut, UpstreamTimeout; whatever the
        body raises; MalformedRequest.
        """
        server, ticket = self._pick()
        pool, health, wait_s = server.pool, Health.UNCLEAR, 0.0
        body = body or b""
        known = len(body) if isinstance(body, bytes) else None
        try:
            head, length = encode_head(method, pool.path + target, headers, pool.authority, known)
            connection = pool.take() or await pool.connect()
            try:
                connection.begin(head, body, length, to_head=method == "HEAD")
                if sent is not None:
                    sent()
                answer = Answer(await connection.answered(), connection, pool)
            except BaseException:
                connection.finish()
                raise
            health = Health.ALIVE
            if answer.status in BUSY_STATUSES:
                health, wait_s = Health.BUSY, retry_after_s(answer.headers)
            return answer
        except UpstreamRefused:
            health = Health.REFUSED
            raise
        finally:
            if ticket is not None and not (health is Health.ALIVE and server.breaker.is_calm):
                self._learn(server.breaker, ticket, health, wait_s)

    def _learn(self, breaker: Breaker, ticket: Ticket, health: Health, wait_s: float) -> None:
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

    async def fetch(
        self, method: str, target: bytes, headers: Headers, body: bytes, max_body_bytes: int, sent: Sent
    ) -> StoredResponse:
        """Send one request and keep its whole answer; `body` is None where it is larger than allowed.

        `sent` is called once the request's head is on its way. Raises UpstreamError.
        """
        with await self.send(method, target, headers, body, sent) as answer:
            kept: list[bytes] = []
            size = 0
            while chunk := await answer.read():
                size += len(chunk)
                if size > max_body_bytes:
                    return StoredResponse(answer.status, answer.headers, None)
                kept.append(chunk)
            return StoredResponse(answer.status, answer.headers, b"".join(kept))

    async def close(self) -> None:
        """Close all connections, those in use too."""
        for server in self._servers:
            await server.pool.close()
