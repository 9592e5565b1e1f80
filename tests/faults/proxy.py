"""A TCP proxy between two parts, with faults: it hangs, cuts, resets, refuses, or delays."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import Enum

from tests.system import free_port


class Fault(Enum):
    NONE = "none"
    HANG = "hang"
    """Nothing passes, connections stay."""
    LOSE_REPLIES = "lose replies"
    """Requests pass; the connection is reset in place of the answer: what was asked for has been done."""
    REFUSE = "refuse"
    """Every connection is reset."""


class FaultProxy:
    """Passes bytes on, as `fault` says; may be set at any time."""

    def __init__(self, target_port: int) -> None:
        self.port = free_port()
        self._target_port = target_port
        self._fault = Fault.NONE
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.latency_s = 0.0
        self.cut = 0

    @property
    def fault(self) -> Fault:
        return self._fault

    @fault.setter
    def fault(self, fault: Fault) -> None:
        self._fault = fault
        self._changed.set()
        self._changed = asyncio.Event()
        if fault is Fault.REFUSE:
            for task in self._tasks:
                task.cancel()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._join(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._fault is Fault.REFUSE:
            _reset(writer)
            return
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        there = asyncio.create_task(self._pass(reader, to_writer, replies=False))
        back = asyncio.create_task(self._pass(to_reader, writer, replies=True))
        try:
            await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            there.cancel()
            back.cancel()
            _reset(writer)
            to_writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, replies: bool) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                if replies and self._fault is Fault.LOSE_REPLIES:
                    self.cut += 1
                    return
                while self._fault is Fault.HANG:
                    await self._changed.wait()
                if self.latency_s:
                    await asyncio.sleep(self.latency_s)
                writer.write(data)
                await writer.drain()

    async def end(self) -> None:
        for task in set(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _reset(writer: asyncio.StreamWriter) -> None:
    """RST rather than FIN."""
    sock = writer.get_extra_info("socket")
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@asynccontextmanager
async def proxied(url: str) -> AsyncIterator[tuple[str, FaultProxy]]:
    """The same URL by way of a proxy."""
    port = int(url.rsplit(":", 1)[1].partition("/")[0])
    proxy = FaultProxy(port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", proxy.port)
    try:
        yield url.replace(f":{port}", f":{proxy.port}"), proxy
    finally:
        server.close()
        await proxy.end()
