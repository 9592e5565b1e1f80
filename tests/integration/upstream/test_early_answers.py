"""App servers that answer a large upload without reading it, and reset the connection by closing it."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.errors import UpstreamCut
from tests.support.raw_app_server import body_of, client_of

PIECE = b"x" * 65_536
PIECES = 64
REPEATS = 40


async def upload() -> AsyncIterator[bytes]:
    for _ in range(PIECES):
        yield PIECE


@contextmanager
def refusing(answer: bytes) -> Iterator[int]:
    """A server of its own thread, so that what it does falls between any two steps of the event loop."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(1000)
                connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@pytest.mark.parametrize("body", [b"big", b"b" * 20_000], ids=["a short answer", "a long answer"])
async def test_the_answer_is_not_lost(body: bytes) -> None:
    answer = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    with refusing(answer) as port:
        async with client_of(f"http://127.0.0.1:{port}") as client:
            for _ in range(REPEATS):
                with await client.send("/", "POST", upload()) as got:
                    assert (got.status, await body_of(got)) == (413, body)
            await client.none_in_use()
            assert client.pool.idle == 0


async def test_an_answer_that_ends_with_its_connection_is_no_whole_one() -> None:
    """Nobody can know what the reset has destroyed: the client gets what came, and not its end."""
    with refusing(b"HTTP/1.1 413 Content Too Large\r\n\r\nbig") as port:
        async with client_of(f"http://127.0.0.1:{port}") as client:
            for _ in range(REPEATS):
                with await client.send("/", "POST", upload()) as got:
                    assert (got.status, await got.read()) == (413, b"big")
                    with pytest.raises(UpstreamCut):
                        await body_of(got)
            await client.none_in_use()


async def test_uploads_leave_no_files_open() -> None:
    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    with refusing(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n") as port:
        async with client_of(f"http://127.0.0.1:{port}") as client:
            (await client.send("/", "POST", upload())).close()
            await client.none_in_use()
            before = open_files()
            for _ in range(REPEATS):
                (await client.send("/", "POST", upload())).close()
            async with asyncio.timeout(30):
                while open_files() > before:  # noqa: ASYNC110 - there is no event to wait for
                    await asyncio.sleep(0.01)
