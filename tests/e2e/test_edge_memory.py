"""What an edge's process holds in memory, whatever passes through it: large bodies, slow readers, garbage."""

import os
import random
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from app.settings import Settings
from tests.support.ports import free_port
from tests.support.system import System, running

MIB = 1 << 20
BODY = int(os.environ.get("PENSTOCK_TEST_BODY_MIB", "256")) * MIB
BLOCK = bytes(MIB)
MOST_GROWTH = 100 * MIB * max(BODY, 256 * MIB) // (1024 * MIB)
"""In proportion, so that a smaller body does not hide what keeps a part of it; not below what the kernel's and our own
buffers come to."""
ENOUGH = 24 * MIB
"""What sockets of all sides hold, with room to spare: a sender that gets rid of more is not held back."""


@dataclass
class AppServer:
    """Takes uploads and sends downloads, a thread a connection, as fast as it can; `held` stops it from reading."""

    received: int = 0
    sent: int = 0
    held: threading.Event = field(default_factory=threading.Event)

    def serve(self, listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=self._one, args=(listening.accept()[0],), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            head, _, body = _head(connection)
            size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or b"0")
            left = size - len(body)
            self.received += len(body)
            while left > 0 and not self.held.is_set():
                took = len(connection.recv(min(MIB, left)))
                if not took:
                    return
                left -= took
                self.received += took
            while self.held.is_set():
                time.sleep(0.05)
            if b" /down" in head:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BODY)
                for _ in range(BODY // MIB):
                    connection.sendall(BLOCK)
                    self.sent += MIB
            else:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def _head(connection: socket.socket) -> tuple[bytes, bytes, bytes]:
    raw = b""
    while b"\r\n\r\n" not in raw:
        piece = connection.recv(65536)
        if not piece:
            raise ConnectionError
        raw += piece
    return raw.partition(b"\r\n\r\n")


@pytest.fixture
def app_server() -> Iterator[tuple[AppServer, int]]:
    server, port = AppServer(), free_port()
    with socket.create_server(("127.0.0.1", port)) as listening:
        threading.Thread(target=server.serve, args=(listening,), daemon=True).start()
        yield server, port
        server.held.clear()


@pytest.fixture
async def system(
    settings: Settings, tmp_path: Path, app_server: tuple[AppServer, int]
) -> AsyncIterator[tuple[System, AppServer]]:
    url = f"http://127.0.0.1:{app_server[1]}"
    async with running(
        settings,
        tmp_path,
        workers=0,
        PENSTOCK_UPSTREAMS=url,
        PENSTOCK_STALL_TIMEOUT_S="300",
        PENSTOCK_MAX_BODY_BYTES="0",
    ) as system:
        yield system, app_server[0]
        app_server[0].held.clear()  # an edge that stops waits for the requests that are in flight


def edge_pid(system: System) -> int:
    return next(part for part in system.parts if part.role == "edge").process.pid


def memory(pid: int, name: str = "VmRSS") -> int:
    """In bytes; `VmHWM`: the most since the last `forget_peak`."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


@contextmanager
def grows_little(pid: int, most: int) -> Iterator[None]:
    forget_peak(pid)
    before = memory(pid)
    yield
    grown = memory(pid, "VmHWM") - before
    assert grown < most, f"grew by {grown / MIB:.0f} MiB"


def connect(system: System) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", system.edge_port))
    connection.settimeout(120)
    return connection


def post(path: str, size: int) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: edge.test\r\nContent-Length: {size}\r\n\r\n".encode()


GET_DOWN = b"GET /down HTTP/1.1\r\nHost: edge.test\r\n\r\n"


async def test_large_bodies_pass_both_ways(system: tuple[System, AppServer]) -> None:
    penstock, app_server = system
    pid = edge_pid(penstock)
    with grows_little(pid, MOST_GROWTH), connect(penstock) as client:
        client.sendall(post("/up", BODY))
        for _ in range(BODY // MIB):
            client.sendall(BLOCK)
        assert _head(client)[0].startswith(b"HTTP/1.1 200")
    assert app_server.received == BODY
    with grows_little(pid, MOST_GROWTH), connect(penstock) as client:
        client.sendall(GET_DOWN)
        head, _, body = _head(client)
        assert head.startswith(b"HTTP/1.1 200")
        got = len(body)
        while got < BODY:
            got += len(client.recv(MIB)) or _cut()
    assert got == BODY == app_server.sent


def _cut() -> int:
    raise ConnectionError("the answer was cut")


async def test_who_does_not_read_holds_the_other_side_back(system: tuple[System, AppServer]) -> None:
    penstock, app_server = system
    with grows_little(edge_pid(penstock), 50 * MIB):
        with ExitStack() as stack:
            clients = [stack.enter_context(connect(penstock)) for _ in range(10)]
            for client in clients:
                client.sendall(GET_DOWN)
            _until_still(lambda: app_server.sent)
            assert 0 < app_server.sent < len(clients) * ENOUGH
        app_server.held.set()
        with connect(penstock) as client:
            client.settimeout(3)
            client.sendall(post("/up", BODY))
            sent = 0
            with suppress(TimeoutError):
                while sent < BODY:
                    sent += client.send(BLOCK)
            assert sent < ENOUGH


def _until_still(count: Callable[[], int]) -> None:
    """Until a number no longer rises."""
    deadline, before = time.monotonic() + 60, -1
    while (now := count()) != before or not now:
        assert time.monotonic() < deadline, "it rises for ever"
        before = now
        time.sleep(1)


async def test_garbage_leaves_memory_where_it_was(system: tuple[System, AppServer]) -> None:
    """As much as a browser's load of it, and as much again: what the first leaves is caches that have filled."""
    penstock, _ = system
    chance = random.Random(6)
    _garbage(penstock, chance)
    pid = edge_pid(penstock)
    before = memory(pid)
    _garbage(penstock, chance)
    assert memory(pid) - before < 10 * MIB
    assert (await penstock.request("GET", "/after")).status == 200


def _garbage(penstock: System, chance: random.Random) -> None:
    for number in range(3000):
        kinds = [
            chance.randbytes(2000),
            b"GET /" + chance.randbytes(500).hex().encode() + b" HTTP/1.1\r\nHost: x\r\nA: a\nb\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"H%d: %d\r\n" % (n, n) for n in range(200)) + b"\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nCookie: " + b"x" * 100_000,
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzzz" + chance.randbytes(5000),
            b"GET /%d%%c0%%ae HTTP/1.1\r\nHost: x\r\n\r\n" % number * 100,
            b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %d\r\nConnection: close\r\n\r\n" % number,
            b"GET / HTTP/1.1\r\nHost: x",
        ]
        with connect(penstock) as client, suppress(ConnectionError):
            client.sendall(kinds[number % len(kinds)])
            if number % 3:
                client.settimeout(0.01)
                with suppress(TimeoutError):
                    client.recv(MIB)
