"""A request at the edge: its head, the forms in which its path may be read, and its body."""

from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Self

from app.errors import BodyTooLarge, ClientGone
from app.http1.server.exchange import Exchange
from app.web.headers import Headers, from_upstream
from app.web.paths import path_forms

SCHEME = "http"
"""The edge speaks no TLS; a load balancer in front of it does."""


class Request:
    """A client's request. Header names are in lower case.

    `paths`: every form in which the app server may read the path. `abandoned`: the client closed the connection before
    it had sent the whole body.
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
        """The parts of an ASGI scope from which absolute URLs are made (JobRenderer)."""
        return {"scheme": SCHEME, "headers": self.headers, "client": self.exchange.client}

    def body(self) -> bytes | AsyncIterator[bytes] | None:
        """The body: in one piece if all of it has been received, else as it comes; None if there is none."""
        if not self.has_body:
            return None
        whole = None if self._read else self.exchange.body.read_if_complete()
        return _Chunks(self, self._read) if whole is None else whole

    def inform(self, status: int, headers: Headers) -> None:
        """Pass an interim answer of the app server on to the client."""
        self.exchange.inform(status, from_upstream(headers))

    async def read(self, max_bytes: int) -> bytes:
        """Read the whole body; raises BodyTooLarge, ClientGone."""
        size = sum(map(len, self._read))
        while self.has_body and not self.exchange.body.consumed and size <= max_bytes:
            chunk = await self.more()
            self._read.append(chunk)
            size += len(chunk)
        if size > max_bytes:
            raise BodyTooLarge(f"A request that is to be deferred has at most {max_bytes} bytes.")
        return b"".join(self._read)

    async def more(self) -> bytes:
        """Wait for the next part of the body; raises ClientGone."""
        try:
            return await self.exchange.body.read()
        except ClientGone:
            self.abandoned = True
            raise


class _Chunks:
    """Iterates over a request's body from its beginning; raises ClientGone. (mypyc cannot compile async generators.)"""

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
