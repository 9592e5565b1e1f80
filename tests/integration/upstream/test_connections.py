"""Connections to the app servers: reuse, timeouts, streaming with backpressure, and TLS."""

import asyncio
import ipaddress
import random
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509

from app.errors import StartupError, UpstreamCut, UpstreamRefused, UpstreamTimeout
from app.settings import load_settings
from tests.support.authority import Authority
from tests.support.raw_app_server import HEADERS, Asked, RawServer, body_of, client_of, echo, listening, serving
from tests.support.waiting import eventually, forever, settled

MIB = 1 << 20


async def pieces(*chunks: bytes, pause_s: float = 0) -> AsyncIterator[bytes]:
    for chunk in chunks:
        await asyncio.sleep(pause_s)
        yield chunk


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_requests_one_after_another_share_a_connection() -> None:
    server = RawServer()
    async with serving(server) as client:
        for number in range(50):
            assert await client.get(f"/{number}") == (200, f"/{number}".encode())
        assert (server.connections, client.pool.idle, client.pool.in_use) == (1, 1, 0)
    await server.all_closed()


async def test_concurrent_requests_use_a_connection_each_and_the_idle_ones_are_limited() -> None:
    server = RawServer()
    async with serving(server, upstream_idle_connections=5) as client:
        for _ in range(3):
            await asyncio.gather(*(client.get(f"/{number}") for number in range(20)))
        assert client.pool.idle == 5
        assert server.connections <= 20 + 2 * 15


async def test_an_idle_connection_is_closed_after_its_keep_alive_time() -> None:
    server = RawServer()
    async with serving(server, upstream_keep_alive_s=0.1) as client:
        await client.get("/")
        await server.all_closed()
        assert client.pool.idle == 0
        assert await client.get("/again") == (200, b"/again")


async def test_a_connection_is_not_reused_when_its_server_may_be_about_to_close_it() -> None:
    async def answer(asked: Asked) -> None:
        await asked.wire.say(echo(asked.target.encode(), b"Keep-Alive: timeout=1"))

    server = RawServer(answer)
    async with serving(server) as client:
        await client.get("/1")
        await client.get("/2")
        assert server.connections == 1
        await asyncio.sleep(0.6)
        assert await client.get("/3") == (200, b"/3")
        assert server.connections == 2


async def test_connections_that_were_closed_while_idle_are_not_reused_and_nothing_is_sent_twice() -> None:
    server = RawServer()
    async with serving(server) as client:
        await asyncio.gather(*(client.get(f"/{number}") for number in range(10)))
        assert client.pool.idle == server.connections
        for wire in {id(asked.wire): asked.wire for asked in server.asked}.values():
            wire.writer.close()
        await server.all_closed()
        before = len(server.asked)
        assert await client.get("/after", "POST") == (200, b"/after")
        assert len(server.asked) == before + 1


@pytest.mark.parametrize("method", ["DELETE", "PUT", "POST"])
async def test_a_request_that_may_have_been_read_is_not_sent_again(method: str) -> None:
    async def answer(asked: Asked) -> bool:
        if asked.target == "/first":
            await asked.wire.say(echo(b"first"))
            return False
        return True

    server = RawServer(answer)
    async with serving(server) as client:
        await client.get("/first")
        with pytest.raises(UpstreamCut):
            await client.get("/second", method)
        assert [asked.target for asked in server.asked] == ["/first", "/second"]


async def test_cancelled_requests_close_their_connections_and_do_not_affect_others() -> None:
    """Many requests are cancelled at random moments: while connecting, sending, waiting or reading."""

    async def answer(asked: Asked) -> None:
        text = asked.target.encode()
        await asyncio.sleep(random.random() / 100)
        await asked.wire.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text) + text[:2])
        await asyncio.sleep(random.random() / 100)
        await asked.wire.say(text[2:])
        if asked.header(b"transfer-encoding"):  # the rest of the upload comes before the next request
            await asked.wire.reader.readuntil(b"0\r\n\r\n")

    answered = cancelled = 0

    async def ask(number: int) -> None:
        nonlocal answered, cancelled
        body = pieces(b"a" * 10, b"b" * 10, pause_s=0.002) if number % 3 == 0 else None
        try:
            async with asyncio.timeout(random.random() / 25 if number % 2 else None):
                with await client.send(f"/{number}", "POST", body) as got:
                    assert await body_of(got) == f"/{number}".encode()
                    answered += 1
        except TimeoutError:
            cancelled += 1

    server = RawServer(answer)
    before = open_files()
    async with serving(server) as client:
        server.reads_bodies = False
        for wave in range(20):
            await asyncio.gather(*(ask(wave * 50 + number) for number in range(50)))
        assert answered >= 500, "all requests that were not cancelled"
        assert cancelled > 50
        await client.none_in_use()
        assert len(asyncio.all_tasks()) < 60 + server.open, "no upload continues"
    await server.all_closed()

    async def as_before() -> bool:
        return open_files() <= before + 3

    await eventually(as_before, 30, "no connection is leaked")


async def test_closing_the_pool_ends_requests_in_progress() -> None:
    async def answer(_: Asked) -> None:
        await forever()

    server = RawServer(answer)
    async with serving(server) as client:
        waiting = asyncio.create_task(client.get("/"))
        await eventually(lambda: bool(server.asked), 30, "the request has arrived")
        await client.upstream.close()
        with pytest.raises(UpstreamCut):
            await waiting
        with pytest.raises(UpstreamRefused):
            await client.get("/")
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na"], ids=["nothing", "part of the response"]
)
async def test_an_app_server_that_stops_responding_times_out(said: bytes) -> None:
    async def answer(asked: Asked) -> None:
        await asked.wire.say(said)
        await asked.wire.reader.read(1)

    async with serving(RawServer(answer), upstream_read_timeout_s=0.2) as client:
        with pytest.raises(UpstreamTimeout):
            await client.get("/")
        await client.none_in_use()


async def test_the_timeout_applies_to_each_wait_and_not_to_the_whole_response() -> None:
    async def answer(asked: Asked) -> None:
        await asked.wire.say(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        for _ in range(5):
            await asyncio.sleep(0.4)
            await asked.wire.say(b"a")

    async with serving(RawServer(answer), upstream_read_timeout_s=1.5) as client:
        assert await client.get("/") == (200, b"aaaaa")


async def test_a_slow_upload_or_a_slow_reader_does_not_time_out() -> None:
    async with serving(RawServer(), upstream_read_timeout_s=0.5) as client:
        headers = [*HEADERS, (b"content-length", b"6")]
        with await client.upstream.send("POST", b"/", headers, pieces(*[b"x"] * 6, pause_s=0.2)) as got:
            await asyncio.sleep(1)
            assert await got.read() == b"/"


async def test_an_app_server_that_stops_reading_an_upload_times_out() -> None:
    over = asyncio.Event()

    async def answer(asked: Asked) -> None:
        await over.wait()

    server = RawServer(answer, reads_bodies=False)
    for body in (pieces(*[bytes(MIB)] * 64), bytes(64 * MIB)):
        over.clear()
        async with serving(server, upstream_read_timeout_s=0.3) as client:
            with pytest.raises(UpstreamTimeout):
                await client.send("/", "POST", body)
            over.set()


async def test_a_large_response_is_not_read_faster_than_its_reader() -> None:
    written = 0

    async def answer(asked: Asked) -> None:
        nonlocal written
        await asked.wire.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 * MIB))
        for _ in range(64):
            await asked.wire.say(bytes(MIB))
            written += 1

    async with serving(RawServer(answer)) as client:
        with await client.send("/") as got:
            size = most = 0
            assert await settled(lambda: written, 0.2, 30, "the server stops") < 32, "backpressure reached the sender"
            while chunk := await got.read():
                size, most = size + len(chunk), max(most, len(chunk))
            assert (size, most < MIB) == (64 * MIB, True)
        assert client.pool.idle == 1


async def test_a_large_upload_is_not_sent_faster_than_the_app_server_reads() -> None:
    asked_for, go_on = 0, asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        nonlocal asked_for
        for _ in range(64):
            yield bytes(MIB)
            asked_for += 1

    async def answer(asked: Asked) -> None:
        await go_on.wait()
        size = 0
        while (line := await asked.wire.reader.readline()) != b"0\r\n":
            size += len(await asked.wire.reader.readexactly(int(line, 16) + 2)) - 2
        await asked.wire.reader.readline()
        await asked.wire.say(echo(b"%d" % size))

    async with serving(RawServer(answer)) as client:
        sending = asyncio.create_task(client.send("/", "PUT", body()))
        assert await settled(lambda: asked_for, 0.2, 30, "the client stops") < 32, "backpressure reached the sender"
        go_on.set()
        with await sending as got:
            assert await got.read() == b"%d" % (64 * MIB)
        assert client.pool.idle == 1


async def test_request_and_response_can_stream_at_the_same_time() -> None:
    async def answer(asked: Asked) -> None:
        await asked.wire.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while (line := await asked.wire.reader.readline()) != b"0\r\n":
            await asked.wire.say(line + await asked.wire.reader.readexactly(int(line, 16) + 2))
        await asked.wire.reader.readline()
        await asked.wire.say(b"0\r\n\r\n")

    heard = asyncio.Queue[bytes]()

    async def body() -> AsyncIterator[bytes]:
        for number in range(100):
            yield b"%d" % number
            assert await heard.get() == b"%d" % number

    async with serving(RawServer(answer)) as client:
        with await client.send("/", "POST", body()) as got:
            while chunk := await got.read():
                heard.put_nowait(chunk)
            assert got.complete
        assert client.pool.idle == 1


async def test_a_response_before_the_end_of_the_upload_is_returned_and_the_connection_is_closed() -> None:
    async def answer(asked: Asked) -> None:
        await asked.wire.say(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")

    ended = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        try:
            yield b"x"
            await forever()
        finally:
            ended.set()

    server = RawServer(answer, reads_bodies=False)
    async with serving(server) as client:
        with await client.send("/", "POST", body()) as got:
            assert (got.status, await got.read()) == (413, b"big")
        await asyncio.wait_for(ended.wait(), 30)
        await client.none_in_use()
        assert client.pool.idle == 0


@pytest.mark.parametrize("chunks", [[b"abc"], [b"abc", b"defg"]], ids=["too short", "too long"])
async def test_a_body_whose_length_differs_from_content_length_is_not_sent_as_complete(chunks: list[bytes]) -> None:
    server = RawServer()
    async with serving(server) as client:
        with pytest.raises(UpstreamCut):
            headers = [*HEADERS, (b"content-length", b"5")]
            await client.upstream.send("POST", b"/", headers, pieces(*chunks))
        await client.none_in_use()
    assert not server.asked


async def test_an_error_of_a_streaming_body_ends_the_request_and_is_raised() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"x"
        raise KeyError("mine")

    async with serving(RawServer(reads_bodies=False, handler=_never)) as client:
        with pytest.raises(KeyError, match="mine"):
            await client.send("/", "POST", body())


async def _never(asked: Asked) -> None:
    await asked.wire.reader.read()


async def test_target_headers_and_body_are_sent_unchanged() -> None:
    server = RawServer()
    async with serving(server) as client:
        sent: list[int] = []
        headers = [(b"host", b"a.test"), (b"x", "Zoë ☃".encode()), (b"x", b"\xe9")]
        got = await client.upstream.send("PATCH", b"/a%2f?b=[1]&c", headers, b"body", lambda: sent.append(1))
        got.close()
        [asked] = server.asked
        assert asked.head == (
            b"PATCH /a%2f?b=[1]&c HTTP/1.1\r\nhost: a.test\r\nx: " + "Zoë ☃".encode() + b"\r\nx: \xe9\r\n"
            b"content-length: 4\r\n\r\n"
        )
        assert (asked.body, sent) == (b"body", [1])


async def test_the_path_of_the_address_precedes_the_target() -> None:
    server = RawServer()
    async with listening(server) as port, client_of(f"http://127.0.0.1:{port}/base/") as client:
        assert await client.get("/x?y") == (200, b"/base/x?y")


@pytest.mark.plain  # methods of compiled classes cannot be replaced
async def test_a_host_with_two_addresses_is_reached_at_the_one_that_responds() -> None:
    """In whichever order the addresses come."""
    for first, second in [("127.0.0.1", "127.0.0.2"), ("127.0.0.2", "127.0.0.1"), ("::1", "127.0.0.1")]:
        server = RawServer()
        async with listening(server, second) as port, client_of(f"http://localhost:{port}") as client:
            families: list[tuple[int, str]] = [
                (socket.AF_INET6 if ":" in host else socket.AF_INET, host) for host in (first, second)
            ]

            async def addresses(found: list[tuple[int, str]] = families) -> list[tuple[int, str]]:
                return found

            client.pool._addresses = addresses  # type: ignore[method-assign]
            assert await client.get("/x") == (200, b"/x")


async def test_an_ipv6_address_can_be_used() -> None:
    server = RawServer()
    async with listening(server, "::1") as port, client_of(f"http://[::1]:{port}") as client:
        with await client.upstream.send("GET", b"/x", [], None) as got:
            assert await got.read() == b"/x"
        assert server.asked[0].header(b"host") == f"[::1]:{port}".encode()


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://no-such-host.invalid"])
async def test_an_unreachable_app_server_is_refused(url: str) -> None:
    async with client_of(url) as client:
        with pytest.raises(UpstreamRefused):
            await client.get("/")


@pytest.mark.plain  # methods of compiled classes cannot be replaced
async def test_connecting_times_out() -> None:
    async with client_of("http://127.0.0.1:9", upstream_connect_timeout_s=0.1) as client:

        async def hang(*_: object, **__: object) -> None:
            await forever()

        client.pool._connect = hang  # type: ignore[method-assign, assignment]
        with pytest.raises(UpstreamRefused, match="too long"):
            await client.get("/")


@pytest.mark.parametrize("url", ["http://u:p@x", "http://x/?a", "http://x/#a"])
def test_an_address_with_more_than_host_port_and_path_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_UPSTREAMS", url)
    with pytest.raises(StartupError, match="PENSTOCK_UPSTREAMS"):
        load_settings()


LOCALHOST = x509.DNSName("localhost")


async def test_tls_with_a_known_authority_reuses_the_connection(tmp_path: Path) -> None:
    authority, server = Authority(tmp_path, "ours"), RawServer()
    names: list[str | None] = []
    context = authority.server(LOCALHOST, x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    context.sni_callback = lambda _, name, __: names.append(name)
    async with listening(server, tls=context) as port:
        for host in ("localhost", "127.0.0.1"):
            async with client_of(f"https://{host}:{port}", upstream_ca_file=authority.file) as client:
                for number in range(5):
                    assert await client.get(f"/{number}") == (200, f"/{number}".encode())
                    await asyncio.sleep(0.01)
                with await client.send("/up", "POST", pieces(*[bytes(MIB)] * 4)) as got:
                    assert got.status == 200
    assert names[0] == "localhost"
    assert server.connections == 2


@pytest.mark.parametrize("wrong", ["authority", "name"])
async def test_tls_that_cannot_be_verified_is_refused_and_nothing_is_sent(tmp_path: Path, wrong: str) -> None:
    ours, other, server = Authority(tmp_path, "ours"), Authority(tmp_path, "other"), RawServer()
    context = (other if wrong == "authority" else ours).server(
        x509.DNSName("other.test") if wrong == "name" else LOCALHOST
    )
    async with (
        listening(server, tls=context) as port,
        client_of(f"https://localhost:{port}", upstream_ca_file=ours.file) as client,
    ):
        with pytest.raises(UpstreamRefused, match="certificate"):
            await client.get("/")
        assert not server.asked


async def test_plain_http_to_a_tls_server_and_tls_to_a_plain_one_fail(tmp_path: Path) -> None:
    authority, server = Authority(tmp_path, "ours"), RawServer()
    async with (
        listening(server) as port,
        client_of(f"https://localhost:{port}", upstream_connect_timeout_s=1) as client,
    ):
        with pytest.raises(UpstreamRefused):
            await client.get("/")
    async with (
        listening(server, tls=authority.server(LOCALHOST)) as port,
        client_of(f"http://localhost:{port}") as client,
    ):
        with pytest.raises(UpstreamCut):
            await client.get("/")


async def test_a_ca_file_without_certificates_is_a_startup_error(tmp_path: Path) -> None:
    nothing = tmp_path / "nothing.pem"
    nothing.write_text("nothing")
    with pytest.raises(StartupError, match="PENSTOCK_UPSTREAM_CA_FILE"):
        async with client_of("https://localhost", upstream_ca_file=nothing):
            pass
