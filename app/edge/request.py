"""A request as the edge sees it: what came, the forms in which its path may be read, and its body."""

from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Self

from app.errors import BodyTooLarge, ClientGone
from app.http1.server.exchange import Exchange
from app.web.headers import Headers
from app.web.paths import path_forms

SCHEME = "http"
"""Whoever speaks TLS with the client stands before the edge."""


class Request:
    """Header names are in lower case. `paths`: the forms in which the app server may read the path.

    `abandoned`: the client went away before all of the body had come.
    """

    __slots__ = (
        "_read",
        "abandoned",
        "authorization",
        "exchange",
        "has_body",
        "headers",
        "method",
        "paths",
        "peer",
        "target",
    )

    def __init__(self, exchange: Exchange) -> None:
        """Raises MalformedRequest."""
        head, client = exchange.head, exchange.client
        self.exchange = exchange
        self.method = head.method
        self.target = head.target
        self.paths = path_forms(head.path)
        self.headers: Headers = head.headers
        self.authorization = head.single.get(b"authorization")
        self.peer = client[0] if client is not None else ""
        self.has_body = head.has_body
        self.abandoned = False
        self._read: list[bytes] = []

    @property
    def scope(self) -> Mapping[str, Any]:
        """What addresses of ours are made of (JobRenderer), in ASGI's words."""
        return {"scheme": SCHEME, "headers": self.headers}

    def body(self) -> bytes | AsyncIterator[bytes] | None:
        """The whole body, as it comes, or in one piece where it is here already; None where there is none."""
        if not self.has_body:
            return None
        here = None if self._read else self.exchange.body.read_if_complete()
        return _Chunks(self, self._read) if here is None else here

    async def read(self, most: int) -> bytes:
        """The whole body; raises BodyTooLarge, ClientGone."""
        size = sum(map(len, self._read))
        while self.has_body and not self.exchange.body.consumed and size <= most:
            chunk = await self.more()
            self._read.append(chunk)
            size += len(chunk)
        if size > most:
            raise BodyTooLarge(f"A request that is to be deferred has at most {most} bytes.")
        return b"".join(self._read)

    async def more(self) -> bytes:
        """What has come of the body since; raises ClientGone."""
        try:
            return await self.exchange.body.read()
        except ClientGone:
            self.abandoned = True
            raise


class _Chunks:
    """A request's body from its beginning; raises ClientGone. No generator: mypyc knows none that awaits_message."""

    def __init__(self, request: Request, read: Iterable[bytes]) -> None:
        self._request = request
        self._read = deque(read)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._read:
            return self._read.popleft()
        while not self._request.exchange.body.consumed:
            if chunk := await self._request.more():
                return chunk
        raise StopAsyncIteration
