"""How requests choose among app servers that are up, down, or answer that they are busy."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import HttpUrl

from app.clients import upstream_pools
from app.errors import UpstreamCircuitOpen, UpstreamError, UpstreamRefused, UpstreamReset
from app.settings import Settings
from app.upstream.server_breaker import RESETS_LAST_S
from app.upstream.upstream import Upstream
from tests.support.ports import free_port
from tests.support.raw_app_server import HEADERS, Asked, RawServer, body_of, listening

SHORTEST_BACKOFF_S = 0.35
"""No probe comes sooner after the one before, nor after the breaker has opened."""
BUSY = b"HTTP/1.1 503 Busy\r\nRetry-After: 3600\r\nContent-Length: 4\r\n\r\nbusy"


@dataclass
class Servers:
    """Two app servers behind one Upstream."""

    upstream: Upstream
    servers: list[RawServer]

    async def get(self, target: str = "/") -> int:
        """The status of one request's answer. Raises UpstreamError."""
        with await self.upstream.send("GET", target.encode(), HEADERS, None) as answer:
            await body_of(answer)
            return answer.status

    def counts(self) -> list[int]:
        return [len(server.asked) for server in self.servers]


@asynccontextmanager
async def two_servers() -> AsyncIterator[Servers]:
    async with (
        listening(first := RawServer()) as one,
        listening(second := RawServer()) as two,
        upstream_of(one, two) as upstream,
    ):
        yield Servers(upstream, [first, second])


@asynccontextmanager
async def upstream_of(*ports: int, fail_fast: bool = False) -> AsyncIterator[Upstream]:
    urls: Any = tuple(HttpUrl(f"http://127.0.0.1:{port}") for port in ports)
    upstream = Upstream(upstream_pools(Settings(upstreams=urls)), fail_fast=fail_fast)
    try:
        yield upstream
    finally:
        await upstream.close()


async def test_busy_answers_move_no_traffic() -> None:
    async def busy(asked: Asked) -> None:
        await asked.wire.say(BUSY)

    async with two_servers() as at:
        for server in at.servers:
            server.handler = busy
        assert [await at.get() for _ in range(40)] == [503] * 40
        assert at.counts() == [20, 20]
        assert not at.upstream.all_open
        assert at.upstream.has_capacity


async def test_a_refused_connection_moves_its_request_and_those_that_follow_to_the_other_server() -> None:
    async with listening(alive := RawServer()) as port, upstream_of(free_port(), port) as upstream:
        at = Servers(upstream, [alive])
        assert [await at.get() for _ in range(20)] == [200] * 20
        assert at.counts() == [20]


async def test_a_body_that_streams_is_sent_whole_to_the_other_server() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"whole"

    async with listening(alive := RawServer()) as port, upstream_of(free_port(), port) as upstream:
        for _ in range(4):
            headers = [*HEADERS, (b"content-length", b"5")]
            with await upstream.send("POST", b"/", headers, body()) as answer:
                assert answer.status == 200
        assert [asked.body for asked in alive.asked] == [b"whole"] * 4


async def test_while_all_breakers_are_open_live_requests_try_the_servers_in_turn() -> None:
    ports = free_port(), free_port()
    async with upstream_of(*ports) as upstream:
        tried: Counter[int] = Counter()
        for _ in range(20):
            with pytest.raises(UpstreamRefused) as refused:
                await upstream.send("GET", b"/", HEADERS, None)
            tried[next(port for port in ports if f":{port} " in str(refused.value))] += 1
        assert upstream.all_open
        assert [tried[port] >= 9 for port in ports] == [True, True]


async def test_a_live_request_that_is_answered_closes_the_breaker_at_once() -> None:
    ports = free_port(), free_port()
    async with upstream_of(*ports) as upstream:
        for _ in range(12):  # so many that the next probe is seconds away
            with pytest.raises(UpstreamRefused):
                await upstream.send("GET", b"/", HEADERS, None)
        server = RawServer()
        listener = await asyncio.start_server(server.serve, "127.0.0.1", ports[1])
        try:
            at, found = Servers(upstream, [server]), []
            for _ in range(10):
                try:
                    found.append(await at.get())
                except UpstreamRefused:
                    found.append(502)
            assert found[2:] == [200] * 8, "only requests before the first answer may fail"
        finally:
            await upstream.close()
            listener.close()


async def test_a_refused_probe_moves_its_request_to_a_server_that_is_coming_back() -> None:
    ports = free_port(), free_port()
    async with upstream_of(*ports) as upstream:
        for _ in range(2):
            with pytest.raises(UpstreamRefused):
                await upstream.send("GET", b"/", HEADERS, None)
        server = RawServer()
        listener = await asyncio.start_server(server.serve, "127.0.0.1", ports[1])
        dead, coming_back = (one.breaker for one in upstream._servers)
        try:
            at = Servers(upstream, [server])
            while coming_back.is_open:
                with suppress(UpstreamRefused):
                    await at.get()
            for _ in range(10):
                dead._circuit.next_probe_at = 0.0  # it is due
                assert await at.get() == 200
            assert dead._circuit.next_probe_at > 0, "it was probed"
            assert not coming_back.is_closed, "it has only just come back"
        finally:
            await upstream.close()
            listener.close()


async def test_a_worker_sends_nothing_but_probes_while_all_breakers_are_open() -> None:
    async with upstream_of(free_port(), fail_fast=True) as upstream:
        assert upstream.has_capacity
        with pytest.raises(UpstreamRefused):
            await upstream.send("GET", b"/", HEADERS, None)
        assert upstream.changed.is_set()
        assert (upstream.all_open, upstream.has_capacity, upstream.capacity) == (True, False, 0)
        assert 0.3 < upstream.wait_s <= 0.5
        with pytest.raises(UpstreamCircuitOpen):
            await upstream.send("GET", b"/", HEADERS, None)


async def test_a_server_that_only_resets_connections_is_avoided_after_a_while() -> None:
    async def reset(asked: Asked) -> bool:
        return True

    async with two_servers() as at:
        at.servers[0].handler = reset
        loop = asyncio.get_running_loop()
        start, failed = loop.time(), 0
        while loop.time() - start < RESETS_LAST_S + 0.5:
            try:
                await at.get()
            except UpstreamReset:
                failed += 1
            await asyncio.sleep(0.02)
        assert failed > 10
        probed_at = await probed(at)
        before, sent = at.counts(), 0
        while sent < 100 and loop.time() - probed_at < SHORTEST_BACKOFF_S:
            assert await at.get() == 200
            sent += 1
        assert at.counts() == [before[0], before[1] + sent], "nothing until the next probe"


async def probed(at: Servers) -> float:
    """Send requests until the first server gets one; when that was begun, by the event loop's clock."""
    while True:
        met_at, met = asyncio.get_running_loop().time(), at.counts()[0]
        with suppress(UpstreamError):
            await at.get()
        if at.counts()[0] > met:
            return met_at
        await asyncio.sleep(0.02)


async def test_the_resets_of_one_endpoint_open_nothing_while_another_is_answered() -> None:
    async def reset_some(asked: Asked) -> bool:
        if asked.target != "/reset":
            await asked.wire.say(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            return False
        return True

    async with listening(server := RawServer(reset_some)) as port, upstream_of(port, fail_fast=True) as upstream:
        at = Servers(upstream, [server])
        loop = asyncio.get_running_loop()
        start = loop.time()
        while loop.time() - start < RESETS_LAST_S + 1:
            for _ in range(5):
                with pytest.raises(UpstreamReset):
                    await at.get("/reset")
            assert await at.get("/fine") == 200
            await asyncio.sleep(0.05)
        assert not upstream.all_open
