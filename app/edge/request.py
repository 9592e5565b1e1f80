"""A request as the edge sees it: read once from ASGI, refused where it could be read in two ways."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from app.errors import BodyTooLarge, MalformedRequest
from app.headers import value_of
from app.http1.server.exchange import ON_LEAVE
from app.jobs.model import Headers
from app.paths import path_forms

_FRAMING = frozenset({b"content-length", b"transfer-encoding"})

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class ClientGone(Exception):
    """The client went away; there is nobody to answer."""


class Body:
    """A request's body: streamed on, or read first and streamed on then.

    `abandoned`: the client went away before all of it had come.
    """

    def __init__(self, receive: Receive, *, empty: bool) -> None:
        self._receive = receive
        self._read: list[bytes] = []
        self.abandoned = False
        self._complete = empty

    async def chunks(self) -> AsyncIterator[bytes]:
        """The whole body, from its beginning; raises ClientGone."""
        for chunk in self._read:
            yield chunk
        async for chunk in self._more():
            yield chunk

    async def read(self, most: int) -> bytes:
        """The whole body; raises BodyTooLarge, ClientGone."""
        size = sum(map(len, self._read))
        if size <= most:
            async for chunk in self._more():
                self._read.append(chunk)
                size += len(chunk)
                if size > most:
                    break
        if size > most:
            raise BodyTooLarge(f"A request that is to be deferred has at most {most} bytes.")
        return b"".join(self._read)

    async def _more(self) -> AsyncIterator[bytes]:
        while not self._complete:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.abandoned = True
                raise ClientGone
            if not message.get("more_body", False):
                self._complete = True
            if chunk := message.get("body", b""):
                yield chunk


def _nobody_says(_: Callable[[], None] | None) -> None:
    """Another server than ours has no word for it."""


@dataclass(slots=True)
class Request:
    """Header names are in lower case. `paths`: the forms in which the app server may read the path."""

    method: str
    target: bytes
    paths: tuple[str, ...]
    headers: Headers
    scheme: str
    peer: str
    has_body: bool
    body: Body
    on_leave: Callable[[Callable[[], None] | None], None] = _nobody_says

    @contextmanager
    def while_there(self) -> Iterator[None]:
        """What is done inside is given up when the client goes away: ClientGone."""
        answering, gone = asyncio.current_task(), False
        assert answering is not None, "a request is answered by a task"

        def leave() -> None:
            nonlocal gone
            gone = True
            answering.cancel()

        self.on_leave(leave)
        try:
            yield
        except asyncio.CancelledError:
            if not gone:
                raise
            answering.uncancel()
            raise ClientGone from None
        finally:
            self.on_leave(None)

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header."""
        return value_of(self.headers, name)


def read_request(scope: MutableMapping[str, Any], receive: Receive) -> Request:
    """Raises MalformedRequest."""
    raw_path: bytes = scope["raw_path"]
    query: bytes = scope["query_string"]
    headers: Headers = scope["headers"]
    has_body = _has_body(headers)
    return Request(
        scope["method"],
        raw_path + b"?" + query if query else raw_path,
        path_forms(raw_path),
        headers,
        scope["scheme"],
        scope["client"][0] if scope.get("client") else "",
        has_body,
        Body(receive, empty=not has_body),
        scope.get("extensions", {}).get(ON_LEAVE, _nobody_says),
    )


def _has_body(headers: Headers) -> bool:
    framing = [field for field in headers if field[0] in _FRAMING]
    if len(framing) > 1:
        raise MalformedRequest("The request frames its body in more than one way.")
    return bool(framing) and framing[0] != (b"content-length", b"0")
