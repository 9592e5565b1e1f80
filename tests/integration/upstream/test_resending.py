"""What is sent again if a kept connection closes without an answer, and that nothing else is."""

from collections.abc import AsyncIterator

import pytest

from app.clients import upstream_pools
from app.errors import UpstreamReset
from app.settings import Settings
from app.upstream.upstream import Upstream
from tests.support.raw_app_server import HEADERS, Asked, RawServer, echo, listening, serving


class ClosingServer(RawServer):
    """Answers the first request of a connection, and closes the connection at the next one, up to `times` times."""

    def __init__(self, times: int = 1) -> None:
        super().__init__(self._answer)
        self.times = times

    async def _answer(self, asked: Asked) -> bool:
        if self.times and asked.target == "/closing":
            self.times -= 1
            return True
        await asked.wire.say(echo(b"" if asked.head.startswith(b"HEAD") else b"ok"))
        return False


async def pieces() -> AsyncIterator[bytes]:
    yield b"abc"


@pytest.mark.parametrize(("method", "body"), [("GET", b"ok"), ("HEAD", b"")])
async def test_a_get_or_head_is_sent_once_more_on_a_fresh_connection(method: str, body: bytes) -> None:
    server = ClosingServer()
    async with serving(server) as client:
        await client.get("/first")
        assert await client.get("/closing", method) == (200, body)
        assert [one.wire.number for one in server.asked] == [1, 1, 2]
        await client.none_in_use()
        assert client.pool.idle == 1


async def test_it_is_sent_no_third_time() -> None:
    server = ClosingServer(times=2)
    async with serving(server) as client:
        await client.get("/first")
        with pytest.raises(UpstreamReset):
            await client.get("/closing")
        assert len(server.asked) == 3
        await client.none_in_use()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_no_other_method_is_sent_again(method: str) -> None:
    server = ClosingServer()
    async with serving(server) as client:
        await client.get("/first")
        with pytest.raises(UpstreamReset):
            await client.get("/closing", method)
        assert len(server.asked) == 2
        await client.none_in_use()


@pytest.mark.parametrize("streams", [False, True])
async def test_nothing_with_a_body_is_sent_again(streams: bool) -> None:
    server = ClosingServer()
    async with serving(server) as client:
        await client.get("/first")
        with pytest.raises(UpstreamReset):
            await client.send("/closing", "GET", pieces() if streams else b"abc")
        assert len(server.asked) == 2
        await client.none_in_use()


async def test_nothing_is_sent_again_after_a_fresh_connection_or_after_the_first_byte() -> None:
    async def answer(asked: Asked) -> bool:
        if asked.target == "/begun":
            await asked.wire.say(b"H")
            return True
        if asked.target == "/first":
            await asked.wire.say(echo(b"ok"))
        return asked.target != "/first"

    server = RawServer(answer)
    async with serving(server) as client:
        with pytest.raises(UpstreamReset):
            await client.get("/fresh")
        await client.get("/first")
        with pytest.raises(Exception, match="incomplete"):
            await client.get("/begun")
        assert len(server.asked) == 3


async def test_a_workers_request_is_not_sent_again() -> None:
    """It has one slot; the job's next attempt takes another."""
    server = ClosingServer()
    async with listening(server) as port:
        upstream = Upstream(upstream_pools(Settings(upstreams=f"http://127.0.0.1:{port}")), fail_fast=True)
        with await upstream.send("GET", b"/first", HEADERS, None) as answer:
            await answer.read()
        with pytest.raises(UpstreamReset):
            await upstream.send("GET", b"/closing", HEADERS, None)
        assert len(server.asked) == 2
        await upstream.close()
