"""One request to the app servers, for edges and workers alike."""

import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import cycle

import aiohttp
from multidict import CIMultiDict
from pydantic import HttpUrl
from yarl import URL

from app.errors import UpstreamCut, UpstreamRefused, UpstreamTimeout
from app.headers import from_upstream
from app.jobs.model import Headers, StoredResponse

Sent = Callable[[], None]

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


class Upstream:
    """The app servers, in turn."""

    def __init__(self, session: aiohttp.ClientSession, addresses: Sequence[HttpUrl]) -> None:
        self._session = session
        self._bases = cycle([str(address).rstrip("/") for address in addresses])
        self._any = bool(addresses)

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
        Raises UpstreamRefused, UpstreamCut, UpstreamTimeout.
        """
        if not self._any:
            raise UpstreamRefused("No app server is configured (PENSTOCK_UPSTREAMS).")
        url = URL(next(self._bases) + target.decode("latin-1"), encoded=True)
        names = CIMultiDict((_text(name), _text(value)) for name, value in headers)
        with _translated():
            response = await self._session.request(
                method, url, headers=names, data=body, allow_redirects=False, trace_request_ctx=sent
            )
        try:
            _require_usable(response)
            yield Answer(response)
        finally:
            if response.content.at_eof():
                response.release()
            else:
                response.close()

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
