"""The loopback port of each process: its metrics and its health."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter

from app.errors import StartupError
from app.process.ops_server import serve_ops


@dataclass(frozen=True)
class Ops:
    url: str
    port: int
    ready: asyncio.Event
    counter: Counter
    http: aiohttp.ClientSession

    async def ask(self, path: str, method: str = "GET") -> tuple[int, str]:
        async with self.http.request(method, self.url + path) as response:
            return response.status, await response.text()


@pytest.fixture
async def ops() -> AsyncIterator[Ops]:
    registry, ready = CollectorRegistry(auto_describe=True), asyncio.Event()
    counter = Counter("penstock_things_total", "Things.", registry=registry)
    async with serve_ops(registry, ready, "127.0.0.1", 0) as port, aiohttp.ClientSession() as http:
        yield Ops(f"http://127.0.0.1:{port}", port, ready, counter, http)


async def test_health_is_503_until_the_process_is_ready(ops: Ops) -> None:
    assert await ops.ask("/healthz") == (503, '{"status":"starting"}')
    ops.ready.set()
    assert await ops.ask("/healthz") == (200, '{"status":"ok"}')
    assert await ops.ask("/healthz", "HEAD") == (200, "")


async def test_metrics_are_read_anew_each_time(ops: Ops) -> None:
    for count in (1, 2):
        ops.counter.inc()
        async with ops.http.get(f"{ops.url}/metrics?x=1") as response:
            assert response.status == 200
            assert response.headers["Content-Type"].startswith("text/plain; version=")
            assert f"penstock_things_total {count}.0" in await response.text()


@pytest.mark.parametrize(
    ("path", "method", "status"), [("/", "GET", 404), ("/metrics/", "GET", 404), ("/metrics", "POST", 405)]
)
async def test_nothing_else_is_served(ops: Ops, path: str, method: str, status: int) -> None:
    assert (await ops.ask(path, method))[0] == status


async def test_a_port_in_use_is_a_startup_error(ops: Ops) -> None:
    with pytest.raises(StartupError, match=f"cannot listen on 127.0.0.1:{ops.port}"):
        async with serve_ops(CollectorRegistry(), asyncio.Event(), "127.0.0.1", ops.port):
            pass


async def test_an_open_connection_does_not_hold_up_the_end() -> None:
    async with asyncio.timeout(30):
        async with serve_ops(CollectorRegistry(), asyncio.Event(), "127.0.0.1", 0) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 503")
        with suppress(ConnectionError):
            await reader.read()
        writer.close()
