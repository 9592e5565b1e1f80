"""A TCP proxy between two parts, with faults: it delays, hangs, cuts, resets, refuses."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from math import inf

from tests.support.ports import free_port

CHUNK_BYTES = 65536


class Fault(Enum):
    NONE = "none"
    HANG = "hang"
    """Nothing passes, connections stay."""
    LOSE_REPLIES = "lose replies"
    """Requests pass; the connection is reset in place of the answer: what was asked for has been done."""
    RESET = "reset"
    """Every connection is reset, those that are made too."""
    REFUSE = "refuse"
    """The same, and nobody listens."""


@dataclass
class Cut:
    """Of the reply to a request that contains these bytes `after_bytes` pass, then the connection is reset.

    It happens to every `every`-th such request, and to `most` of them at most.
    """

    request: bytes
    every: int = 1
    after_bytes: int = 0
    most: float = inf
    seen: int = 0
    lost: list[bytes] = field(default_factory=list)
    """The requests whose replies were cut."""

    @property
    def done(self) -> int:
        return len(self.lost)


@dataclass
class _Link:
    """One connection; `left`: how much more of replies may pass, if that is to a request that was looked for."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    to_reader: asyncio.StreamReader
    to_writer: asyncio.StreamWriter
    left: int | None = None
    request: bytes = b""


class FaultProxy:
    """Passes bytes on, as its fault, cut and latency say; they may be set at any time."""

    def __init__(self, target_port: int) -> None:
        self.port = free_port()
        self.latency_s = 0.0
        self.cut: Cut | None = None
        self.replies_lost = 0
        self.connections = 0
        self._target_port = target_port
        self._fault = Fault.NONE
        self._flows = asyncio.Event()
        self._flows.set()
        self._links: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def set(self, fault: Fault) -> None:
        self._fault = fault
        if fault is Fault.HANG:
            self._flows.clear()
        else:
            self._flows.set()
        if fault in {Fault.RESET, Fault.REFUSE}:
            await self._reset_all()
        if fault is Fault.REFUSE:
            self._close()
        else:
            await self.listen()

    async def listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def end(self) -> None:
        self._close()
        await self._reset_all()
        await asyncio.sleep(0)  # until the connections have been told

    def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _reset_all(self) -> None:
        links = set(self._links)
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        link = asyncio.create_task(self._join(reader, writer))
        self._links.add(link)

        def over(_: asyncio.Task[None]) -> None:  # also of one that was cancelled before it began
            self._links.discard(link)
            _reset(writer)

        link.add_done_callback(over)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._fault in {Fault.RESET, Fault.REFUSE}:
            return
        try:
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:  # what the target refuses is refused
            return
        await self._pass_both_ways(_Link(reader, writer, to_reader, to_writer))

    async def _pass_both_ways(self, link: _Link) -> None:
        ways = [asyncio.create_task(self._requests(link)), asyncio.create_task(self._replies(link))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            link.to_writer.transport.abort()  # before anything that may be cancelled
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _requests(self, link: _Link) -> None:
        tail = b""
        with suppress(OSError):
            while data := await link.reader.read(CHUNK_BYTES):
                if self.cut is not None:
                    tail = self._look_for(self.cut, tail + data, link)
                await self._pass_on(data, link.to_writer)

    def _look_for(self, cut: Cut, data: bytes, link: _Link) -> bytes:
        """What of it may be the beginning of what is looked for."""
        found = data.count(cut.request)
        for _ in range(found):
            cut.seen += 1
            if cut.seen % cut.every == 0 and cut.done < cut.most:
                link.left, link.request = cut.after_bytes, data
        return data[-len(cut.request) + 1 :] if not found else b""

    async def _replies(self, link: _Link) -> None:
        with suppress(OSError):
            while data := await link.to_reader.read(CHUNK_BYTES):
                if self._fault is Fault.LOSE_REPLIES:
                    self.replies_lost += 1
                    return
                passing = data if link.left is None else data[: link.left]
                await self._pass_on(passing, link.writer)
                if link.left is not None and len(data) >= link.left:
                    self._count_cut(link)
                    return
                link.left = None if link.left is None else link.left - len(data)

    def _count_cut(self, link: _Link) -> None:
        self.replies_lost += 1
        if self.cut is not None:
            self.cut.lost.append(link.request)

    async def _pass_on(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        if self.latency_s:
            await asyncio.sleep(self.latency_s)
        await self._flows.wait()
        writer.write(data)
        await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """RST rather than FIN."""
    with suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@asynccontextmanager
async def proxied(url: str) -> AsyncIterator[tuple[str, FaultProxy]]:
    """The same URL by way of a proxy."""
    port = int(url.rsplit(":", 1)[1].partition("/")[0])
    proxy = FaultProxy(port)
    await proxy.listen()
    try:
        yield url.replace(f":{port}", f":{proxy.port}"), proxy
    finally:
        await proxy.end()
