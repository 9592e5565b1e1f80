"""One request to the app servers, for edges and workers alike."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from time import monotonic

import aiohttp
from multidict import CIMultiDict
from pydantic import HttpUrl
from yarl import URL

from app.breaker import LONGEST_BACKOFF_S, Breaker, Health, Ticket
from app.errors import UpstreamCut, UpstreamHeld, UpstreamRefused, UpstreamTimeout
from app.headers import from_upstream, retry_after_s
from app.jobs.model import Headers, StoredResponse

Sent = Callable[[], None]

BUSY_STATUSES = frozenset({502, 503, 504})
LAST_STATUS = 599  # RFC 9110, 15
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class Answer:
    """An app server's answer: status and headers are there, the body streams."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Headers = from_upstream(response.raw_headers)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives; raises UpstreamError."""
        with _translated():
            async for chunk in self._response.content.iter_any():
                yield chunk


@dataclass(frozen=True, slots=True)
class _Server:
    base: str
    breaker: Breaker


class Upstream:
    """The app servers, in turn, but for those that are away (app/breaker.py).

    With `hold` nothing at all is sent while all are away, but for probes; without, as to a caller who waits, it is
    tried all the same.
    """

    def __init__(self, session: aiohttp.ClientSession, addresses: Sequence[HttpUrl], *, hold: bool = False) -> None:
        self._session = session
        self._servers = [_Server(str(address).rstrip("/"), Breaker()) for address in addresses]
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

    @asynccontextmanager
    async def send(
        self,
        method: str,
        target: bytes,
        headers: Headers,
        body: AsyncIterator[bytes] | bytes | None,
        sent: Sent | None = None,
    ) -> AsyncIterator[Answer]:
        """Send one request; the target goes as it came. Leaving the context gives up what was not read.

        `sent` is called once the request's head is on its way, if the session announces that (app/clients.py).
        Raises UpstreamHeld, UpstreamRefused, UpstreamCut, UpstreamTimeout.
        """
        names = CIMultiDict((_text(name), _text(value)) for name, value in headers)
        with self._next() as attempt, _translated():
            url = URL(attempt.base + target.decode("latin-1"), encoded=True)
            response = await self._session.request(
                method, url, headers=names, data=body, allow_redirects=False, trace_request_ctx=sent
            )
            attempt.answered(response.status, response.raw_headers)
        try:
            _require_usable(response)
            yield Answer(response)
        finally:
            if response.content.at_eof():
                response.release()
            else:
                response.close()

    @contextmanager
    def _next(self) -> Iterator["_Attempt"]:
        """The server whose turn it is; learns of it whether it is alive."""
        server, ticket = self._pick()
        attempt = _Attempt(server.base)
        try:
            yield attempt
        except UpstreamRefused:
            attempt.health = Health.REFUSED
            raise
        finally:
            if ticket is not None:
                was_open = server.breaker.is_open
                server.breaker.end(ticket, attempt.health, monotonic(), attempt.retry_after_s)
                if was_open or server.breaker.is_open:
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
        async with self.send(method, target, headers, body or None, sent) as answer:
            kept: list[bytes] = []
            size = 0
            async for chunk in answer.chunks():
                size += len(chunk)
                if size > max_body_bytes:
                    return StoredResponse(answer.status, answer.headers, None)
                kept.append(chunk)
            return StoredResponse(answer.status, answer.headers, b"".join(kept))


class _Attempt:
    """One request's server, and what it has shown of it."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.health = Health.UNCLEAR
        self.retry_after_s = 0.0

    def answered(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.health = Health.BUSY if status in BUSY_STATUSES else Health.ALIVE
        if self.health is Health.BUSY:
            self.retry_after_s = retry_after_s(headers)


def _require_usable(response: aiohttp.ClientResponse) -> None:
    """Raises UpstreamCut for what HTTP has no name for and no client would be sent."""
    if response.status > LAST_STATUS:
        raise UpstreamCut(f"The app server answered with the unknown status {response.status}.")
    if _CONTROL.search(b"".join(value for _, value in response.raw_headers)):
        raise UpstreamCut("The app server answered with a control character in a header.")


def _text(value: bytes) -> str:
    """What aiohttp, which writes UTF-8, sends as these bytes again; others (Latin-1) it can't send as they are."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


@contextmanager
def _translated() -> Iterator[None]:
    """aiohttp's errors as ours."""
    try:
        yield
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        raise UpstreamRefused(f"The app server cannot be reached: {error}") from error
    except TimeoutError as error:
        raise UpstreamTimeout("The app server did not answer in time.") from error
    except (aiohttp.ClientError, ConnectionError) as error:
        raise UpstreamCut(f"The app server's answer ended early: {error or type(error).__name__}") from error
