"""An app server whose responses a test writes byte by byte, and a client of it."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from app.clients import upstream_pools
from app.http1.client.pool import ConnectionPool
from app.settings import Settings
from app.upstream.response import UpstreamResponse
from app.upstream.upstream import Upstream
from tests.support.waiting import eventually

HEADERS = [(b"host", b"edge.test")]


@dataclass
class Wire:
    """One connection of the app server."""

    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def say(self, raw: bytes) -> None:
        self.writer.write(raw)
        await self.writer.drain()


@dataclass(frozen=True)
class Asked:
    """A received request: its connection, its head, and its body if that has a length."""

    wire: Wire
    head: bytes
    body: bytes

    @property
    def target(self) -> str:
        return self.head.split(b" ")[1].decode()

    def header(self, name: bytes) -> bytes | None:
        for line in self.head.split(b"\r\n")[1:]:
            found, _, value = line.partition(b": ")
            if found == name:
                return value
        return None


Handler = Callable[[Asked], Awaitable[bool | None]]
"""Responds to one request; the connection is closed if it returns True."""


def echo(text: bytes, *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(text), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + text


async def echoes(asked: Asked) -> None:
    await asked.wire.say(echo(asked.target.encode()))


@dataclass
class RawServer:
    """Counts connections, and records the requests."""

    handler: Handler = echoes
    connections: int = 0
    open: int = 0
    asked: list[Asked] = field(default_factory=list)
    reads_bodies: bool = True
    wires: set[asyncio.StreamWriter] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        self.wires.add(writer)
        wire = Wire(self.connections, reader, writer)
        try:
            while not await self._one(wire):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            self.wires.discard(writer)
            writer.close()

    async def _one(self, wire: Wire) -> bool | None:
        asked = Asked(wire, await wire.reader.readuntil(b"\r\n\r\n"), b"")
        length = int(asked.header(b"content-length") or 0)
        if length and self.reads_bodies:
            asked = Asked(wire, asked.head, await wire.reader.readexactly(length))
        self.asked.append(asked)
        return await self.handler(asked)

    def disconnect(self) -> None:
        """Reset all connections, as they are when the process is killed."""
        for writer in self.wires:
            writer.transport.abort()

    async def all_closed(self) -> None:
        await eventually(lambda: not self.open, 30, "all connections are closed")


async def body_of(answer: UpstreamResponse) -> bytes:
    """The whole body of a response. Raises UpstreamError."""
    chunks = []
    while chunk := await answer.read():
        chunks.append(chunk)
    return b"".join(chunks)


@dataclass
class Client:
    """An Upstream with one app server, and its connection pool."""

    upstream: Upstream
    pool: ConnectionPool

    async def send(
        self, target: str, method: str = "GET", body: AsyncIterator[bytes] | bytes | None = None
    ) -> UpstreamResponse:
        return await self.upstream.send(method, target.encode(), HEADERS, body)

    async def get(self, target: str, method: str = "GET") -> tuple[int, bytes]:
        """The status and the whole body. Raises UpstreamError."""
        with await self.send(target, method) as answer:
            return answer.status, await body_of(answer)

    async def none_in_use(self) -> None:
        """Wait until aborted connections are gone, which takes some iterations of the event loop."""
        await eventually(lambda: not self.pool.in_use, 30, "no connection is in use")


@asynccontextmanager
async def client_of(url: str, **settings: Any) -> AsyncIterator[Client]:  # noqa: ANN401
    defaults: dict[str, Any] = {"upstreams": url, "upstream_connect_timeout_s": 10, "upstream_read_timeout_s": 30}
    pools = upstream_pools(Settings(**(defaults | settings)))
    upstream = Upstream(pools)
    try:
        yield Client(upstream, pools[0])
    finally:
        await upstream.close()


@asynccontextmanager
async def listening(
    server: RawServer, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    listener = await asyncio.start_server(server.serve, host, 0, ssl=tls, limit=1 << 20)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        await server.all_closed()


@asynccontextmanager
async def serving(server: RawServer, **settings: Any) -> AsyncIterator[Client]:  # noqa: ANN401
    async with listening(server) as port, client_of(f"http://127.0.0.1:{port}", **settings) as client:
        yield client
