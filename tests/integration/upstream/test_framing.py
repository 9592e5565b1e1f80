"""Response smuggling: app servers that send invalid responses, and what the next callers get."""

import asyncio
import socket
import threading
from contextlib import suppress

import pytest

from app.errors import UpstreamCut
from app.http1.client.connection import ClientConnection
from tests.support.raw_app_server import Asked, RawServer, body_of, client_of, echo, serving
from tests.support.responses import BROKEN, GOOD, OK, STOLEN, Good


class Odd(RawServer):
    """Responds to `/odd` with these bytes, and to every other target with the target."""

    def __init__(self, raw: bytes, *, closes: bool) -> None:
        super().__init__(self._answer)
        self._raw = raw
        self._closes = closes

    async def _answer(self, asked: Asked) -> bool:
        if asked.target != "/odd":
            await asked.wire.say(echo(asked.target.encode()))
            return False
        await asked.wire.say(self._raw)
        return self._closes


def shorten_timeout(connection: ClientConnection, timeout_s: float) -> None:
    """Let one connection alone wait for so short a time: on a busy machine a good response may take longer."""
    if connection._timer is not None:
        connection._timer.cancel()
        connection._timer = None
    connection._timeout_s = timeout_s


@pytest.mark.parametrize("good", GOOD, ids=lambda good: good.name)
async def test_a_valid_response_and_the_next_ones_are_correct(good: Good) -> None:
    server = Odd(good.raw, closes=good.ends)
    async with serving(server) as client:
        assert await client.get("/before") == (200, b"/before")
        assert await client.get("/odd", good.method) == (good.status, good.body)
        for target in ("/1", "/2", "/3"):
            assert await client.get(target) == (200, target.encode())
        assert server.connections == (1 if good.keeps else 2), (
            "the connection is reused exactly if nothing is ambiguous"
        )


@pytest.mark.parametrize("closes", [True, False], ids=["and closes", "and stays open"])
@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN)
async def test_a_broken_response_is_an_error_and_the_next_ones_are_correct(raw: bytes, closes: bool) -> None:
    server = Odd(raw, closes=closes)
    async with serving(server) as client:
        assert await client.get("/before") == (200, b"/before")
        if not closes:
            [kept] = client.pool._idle
            shorten_timeout(kept, 0.3)
        with pytest.raises(Exception) as raised:
            await client.get("/odd")
        cut = {"UpstreamCut"} if raw else {"UpstreamReset"}
        assert type(raised.value).__name__ in (cut if closes else {"UpstreamCut", "UpstreamTimeout"})
        for target in ("/1", "/2", "/3"):
            assert await client.get(target) == (200, target.encode())
        again = 1 if closes and not raw else 0  # as test_resending.py has it
        assert server.connections == 2 + again
        assert len(server.asked) == 5 + again, "nothing else was sent twice"


@pytest.mark.parametrize("good", [GOOD[0], GOOD[2], GOOD[5], GOOD[16], GOOD[19]], ids=lambda good: good.name)
async def test_a_response_cut_off_at_any_byte_is_an_error_and_the_next_one_is_correct(good: Good) -> None:
    async def answer(asked: Asked) -> bool:
        if not asked.target.startswith("/cut/"):
            await asked.wire.say(echo(asked.target.encode()))
            return False
        await asked.wire.say(good.raw[: int(asked.target[5:])])
        return True

    async with serving(RawServer(answer)) as client:
        body_at = len(good.raw) - len(good.body)
        for length in range(body_at if good.ends else len(good.raw)):
            with pytest.raises(UpstreamCut):
                await client.get(f"/cut/{length}")
            assert await client.get(f"/{length}") == (200, f"/{length}".encode())
        assert await client.get(f"/cut/{len(good.raw)}") == (200, good.body)


@pytest.mark.parametrize("pause_s", [0.0, 0.02], ids=["at once", "a little later"])
async def test_an_unsolicited_response_is_never_returned(pause_s: float) -> None:
    async def answer(asked: Asked) -> None:
        await asked.wire.say(echo(asked.target.encode()))
        await asyncio.sleep(pause_s)
        await asked.wire.say(STOLEN)

    server = RawServer(answer)
    async with serving(server) as client:
        for number in range(20):
            assert await client.get(f"/{number}") == (200, f"/{number}".encode())
            await asyncio.sleep(2 * pause_s + 0.005)
        assert server.connections == 20


@pytest.mark.parametrize("unasked", [STOLEN, b""], ids=["speaks", "closes"])
async def test_unread_bytes_are_noticed_before_a_connection_is_reused(unasked: bytes) -> None:
    """The app server sends something or closes while the event loop is busy, so only the system knows of it."""
    listener = socket.create_server(("127.0.0.1", 0))
    go_on, said = threading.Event(), threading.Event()

    def first(wire: socket.socket) -> None:
        with wire:
            wire.recv(65_536)
            wire.sendall(echo(b"/1"))
            go_on.wait(30)
            if unasked:
                wire.sendall(unasked)
                said.set()
                with suppress(ConnectionError):  # the connection was aborted
                    wire.recv(65_536)
        said.set()

    def serve() -> None:
        serving_first = threading.Thread(target=first, args=(listener.accept()[0],), daemon=True)
        serving_first.start()
        with listener.accept()[0] as wire:
            wire.recv(65_536)
            wire.sendall(echo(b"/2"))
            wire.recv(65_536)
        serving_first.join()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    async with client_of(f"http://127.0.0.1:{listener.getsockname()[1]}") as client:
        assert await client.get("/1") == (200, b"/1")
        go_on.set()
        assert said.wait(30), "the event loop is busy until then"
        assert await client.get("/2") == (200, b"/2")
    await asyncio.to_thread(thread.join)
    listener.close()


async def test_no_response_reaches_another_caller_while_many_connections_fail() -> None:
    """Many concurrent requests with unique ids; a fifth of all responses is broken in various ways."""
    odd = [(raw, True) for raw in BROKEN.values() if len(raw) < 1000]
    odd += [(good.raw, good.ends) for good in GOOD if not good.keeps and good.method == "GET"]

    async def answer(asked: Asked) -> bool:
        number = int(asked.target.rpartition("/")[2])
        await asyncio.sleep((number * 7919 % 13) / 4000)
        if number % 5:
            text = b"%d" % number
            chunked = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(text), text)
            await asked.wire.say(OK + b"X-Id: %d\r\n" % number + chunked if number % 2 else echo(text))
            return number % 11 == 0
        raw, closes = odd[number // 5 % len(odd)]
        await asked.wire.say(raw)
        return closes

    right = failed = 0

    async def ask(numbers: range) -> None:
        nonlocal right, failed
        for number in numbers:
            try:
                with await client.send(f"/{number}") as got:
                    body = await body_of(got)
            except Exception as error:
                assert isinstance(error, UpstreamCut)
                failed += 1
            else:
                if number % 5:
                    assert body == b"%d" % number
                    assert dict(got.headers).get(b"x-id", body) == body
                    right += 1
                else:
                    assert body in {b"abc", b""}, "an odd one, read as far as it was good"

    server = RawServer(answer)
    async with serving(server) as client:
        await asyncio.gather(*(ask(range(start, 4000, 40)) for start in range(40)))
        assert right >= 3200 - 4000 // 11, "a close right after an answer may meet the next request"
        assert failed
        await client.none_in_use()
