"""The connection to a real Redis, with faults: no caller ever gets the reply to another call."""

import asyncio
import random
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from hashlib import sha1
from pathlib import Path

import pytest
import uvloop
from cryptography import x509
from redis.asyncio import Redis

from app.errors import CountersUnavailable
from app.limiter.policy import Charge, Policy, Verdict
from app.limiter.redis_limiter import RedisLimiter
from app.local.stores import StoreProcess, cache_store, redis_is_ready
from app.redis_wire.address import RedisAddress
from app.redis_wire.node import Node
from app.redis_wire.resp import command
from app.redis_wire.scripts import Scripts, source
from tests.support.authority import Authority
from tests.support.fault_proxy import Cut, Fault, proxied
from tests.support.ports import free_port
from tests.support.processes import ROOT
from tests.support.stores import started
from tests.support.waiting import eventually

CANCELLED = 10_000
WAVE = 500


@asynccontextmanager
async def node_at(url: str, timeout_s: float = 5.0) -> AsyncIterator[Node]:
    node = Node(RedisAddress.parse(url), timeout_s, CountersUnavailable)
    try:
        yield node
    finally:
        await node.aclose()


async def echo(node: Node, text: str) -> str:
    found: bytes = await node.call(command("ECHO", text))
    return found.decode()


async def answers(node: Node, text: str = "there?") -> bool:
    try:
        found = await echo(node, text)
    except CountersUnavailable:
        return False
    assert found == text, "this is the reply to another call"
    return True


ON_BOTH_LOOPS = pytest.mark.parametrize(
    "new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)


@ON_BOTH_LOOPS
def test_every_call_gets_its_own_reply_among_ten_thousand_cancelled_ones(
    cache_redis_url: str, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """Processes run on uvloop, the other tests on asyncio."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(cancel_ten_thousand_calls(cache_redis_url))


async def cancel_ten_thousand_calls(cache_redis_url: str) -> None:
    cancelled = right = 0
    random.seed(7)

    async def caller(node: Node, text: str) -> None:
        nonlocal right
        assert await echo(node, text) == text, "this is the reply to another call"
        right += 1

    async with proxied(cache_redis_url) as (url, proxy), node_at(url) as node:
        await echo(node, "connected")
        proxy.latency_s = 0.004
        wave = 0
        while cancelled < CANCELLED:
            wave += 1
            callers = [asyncio.create_task(caller(node, f"{wave}-{number}")) for number in range(WAVE)]
            for task in callers:
                if random.random() < 0.8:
                    asyncio.get_running_loop().call_later(random.uniform(0, 0.01), task.cancel)
            for outcome in await asyncio.gather(*callers, return_exceptions=True):
                if isinstance(outcome, asyncio.CancelledError):
                    cancelled += 1
                else:
                    assert outcome is None, outcome
        assert right > CANCELLED / 10
        assert proxy.connections == 1, "all calls used one connection"
        proxy.latency_s = 0
        assert await answers(node)


async def test_calls_after_timeouts_get_their_own_replies(cache_redis_url: str) -> None:
    timed_out = 0
    async with proxied(cache_redis_url) as (url, proxy), node_at(url, 0.1) as node:
        await eventually(lambda: answers(node), 30, "it is connected")
        for round_ in range(20):
            proxy.latency_s = 0.15 if round_ % 2 else 0.0
            for number in range(10):
                text = f"{round_}-{number}"
                try:
                    assert await echo(node, text) == text
                except CountersUnavailable:
                    timed_out += 1
            await asyncio.sleep(0.1)
    assert timed_out > 0


@pytest.mark.parametrize("after_bytes", [0, 1, 5, 9])
async def test_a_reset_within_a_reply_fails_only_the_calls_in_progress(cache_redis_url: str, after_bytes: int) -> None:
    async with proxied(cache_redis_url) as (url, proxy), node_at(url) as node:
        await echo(node, "connected")
        proxy.cut = Cut(b"unlucky", after_bytes=after_bytes)
        with pytest.raises(CountersUnavailable):
            await echo(node, "unlucky")
        for number in range(100):  # the connection is reopened before any call fails
            assert await echo(node, f"next {number}") == f"next {number}"
        assert proxy.connections == 2


async def test_few_calls_wait_for_a_redis_that_hangs_and_calls_succeed_once_it_responds(cache_redis_url: str) -> None:
    async with proxied(cache_redis_url) as (url, proxy), node_at(url, 0.05) as node:
        await eventually(lambda: answers(node), 30, "it is connected")
        before = proxy.connections
        await proxy.set(Fault.HANG)
        outcomes = [await took(node) for _ in range(200)]
        waited = [seconds for seconds in outcomes if seconds > 0.04]
        assert len(waited) < 100, "only the first calls and the probes wait, the others fail at once"

        async def reconnected() -> bool:
            await took(node)
            return proxy.connections > before

        await eventually(reconnected, 30, "the silent connection is replaced")
        await proxy.set(Fault.NONE)
        print(f"back after {await eventually(lambda: answers(node), 30, 'it is found again'):.2f} s")
        await eventually(lambda: answers(node, "own"), 30, "its own reply comes")


async def took(node: Node) -> float:
    start = time.monotonic()
    with pytest.raises(CountersUnavailable):
        await echo(node, "x")
    return time.monotonic() - start


async def test_calls_fail_at_once_while_redis_is_down_and_succeed_after_its_restart(tmp_path: Path) -> None:
    store = cache_store(tmp_path / "redis", free_port())
    async with node_at(store.url) as node:
        with pytest.raises(CountersUnavailable):
            await echo(node, "nobody is there yet")
        with started(store, tmp_path / "one.log") as redis:
            await eventually(lambda: answers(node), 30, "calls succeed")
            redis.kill()
            redis.wait()
            waits = [await took(node) for _ in range(100)]
            assert sorted(waits)[90] < 1.0, "calls fail at once, not after the timeout of 5 s"
        with started(store, tmp_path / "two.log"):
            await eventually(lambda: answers(node), 30, "calls succeed again")
            own = [f"own {number}" for number in range(100)]
            assert await asyncio.gather(*(echo(node, text) for text in own)) == own


async def test_only_the_first_call_waits_for_a_redis_that_does_not_respond() -> None:
    """This stands for a network that drops all packets: the connection is accepted, and nothing is sent."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with node_at(f"redis://127.0.0.1:{silent.getsockname()[1]}", 0.2) as node:
            waits = [await took(node) for _ in range(20)]
    assert waits[0] > 0.15
    assert sorted(waits[1:])[-2] < 0.15, "later calls fail at once"


async def test_concurrent_first_calls_share_one_connection(cache_redis_url: str) -> None:
    async with proxied(cache_redis_url) as (url, proxy), node_at(url) as node:
        texts = [str(number) for number in range(1000)]
        assert await asyncio.gather(*(echo(node, text) for text in texts)) == texts
        assert proxy.connections == 1


async def test_scripts_that_redis_has_lost_are_loaded_again_once(counting: Scripts, cache: Redis) -> None:
    limiter = RedisLimiter(counting)
    charge = Charge("counter:{x}", Policy(1000, 3600, 1000, 1))
    assert (await limiter.decide((charge,))).states[0].remaining == 999
    await cache.script_flush()
    await cache.config_resetstat()
    verdicts = await asyncio.gather(*(limiter.decide((charge,)) for _ in range(100)))
    assert sorted(verdict.states[0].remaining for verdict in verdicts) == list(range(899, 999)), "each counted once"
    stats = await cache.info("commandstats")
    assert stats["cmdstat_script"]["calls"] == 1


async def test_a_call_that_is_sent_just_before_a_script_is_loaded_does_not_load_it_again(
    counting: Scripts, cache: Redis
) -> None:
    """The reply to the later call, that the script is unknown, then arrives together with the reply to the load."""
    limiter = RedisLimiter(counting)
    charge = Charge("counter:{x}", Policy(1000, 3600, 1000, 1))

    async def decide_after_a_reply() -> Verdict:
        await counting.execute("", "ECHO", "is answered together with the first call")
        return await limiter.decide((charge,))

    await limiter.decide((charge,))
    await cache.script_flush()
    await cache.config_resetstat()
    verdicts = await asyncio.gather(decide_after_a_reply(), limiter.decide((charge,)))
    assert sorted(verdict.states[0].remaining for verdict in verdicts) == [997, 998], "each counted once"
    stats = await cache.info("commandstats")
    assert stats["cmdstat_evalsha"]["calls"] == 4, "both calls were sent before the script was loaded"
    assert stats["cmdstat_script"]["calls"] == 1


async def test_a_caller_that_waits_for_a_script_to_load_can_be_cancelled(cache_redis_url: str, cache: Redis) -> None:
    charge = Charge("counter:{x}", Policy(1000, 3600, 1000, 1))
    async with proxied(cache_redis_url) as (url, proxy), node_at(url) as node:
        limiter = RedisLimiter(Scripts(node, "app.limiter"))
        await limiter.decide((charge,))
        proxy.latency_s = 0.02
        for going_after_s in (0.01, 0.03, 0.05, 0.07, 0.09, 0.11):
            await cache.script_flush()
            first = asyncio.create_task(limiter.decide((charge,)))
            others = [asyncio.create_task(limiter.decide((charge,))) for _ in range(3)]
            await asyncio.sleep(going_after_s)
            first.cancel()
            for verdict in await asyncio.gather(*others):
                assert verdict.allowed


async def with_password(store: StoreProcess) -> dict[str, str]:
    async with Redis.from_url(store.url) as redis:
        await redis.execute_command("ACL", "SETUSER", "edge", "on", ">s3:cret/", "~*", "+@all")  # type: ignore[no-untyped-call]
        await redis.config_set("requirepass", "pass@word")
    at = store.url.removeprefix("redis://").removesuffix("/0")
    return {
        "password": f"redis://:pass%40word@{at}/0",
        "user and database": f"redis://edge:s3%3Acret%2F@{at}/3",
        "wrong password": f"redis://:no@{at}/0",
        "no password": f"redis://{at}/0",
    }


async def test_passwords_users_and_databases_of_urls_are_used(tmp_path: Path) -> None:
    store = cache_store(tmp_path / "redis", free_port())
    with started(store, tmp_path / "redis.log"):
        await redis_is_ready(store.url)
        urls = await with_password(store)
        for who, told in [("password", "user=default"), ("user and database", "user=edge")]:
            async with node_at(urls[who]) as node:
                about = (await node.call(command("CLIENT", "INFO"))).decode()
                assert told in about
                assert f"db={3 if 'database' in who else 0} " in about
        for who in ("wrong password", "no password"):
            async with node_at(urls[who]) as node:
                with pytest.raises(CountersUnavailable, match=r"WRONGPASS|NOAUTH"):
                    await echo(node, "x")


async def test_a_unix_socket_can_be_used(tmp_path: Path) -> None:
    store = cache_store(tmp_path / "r", free_port())
    path = f"/tmp/penstock-{free_port()}.sock"  # the path of a socket must be short
    with started(StoreProcess((*store.command, "--unixsocket", path), store.url), tmp_path / "redis.log"):
        await redis_is_ready(store.url)
        async with node_at(f"unix://{path}?db=2") as node:
            assert "db=2 " in (await node.call(command("CLIENT", "INFO"))).decode()


def passing_to(port: int) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pass_on(reader, to_writer), pass_on(to_reader, writer), return_exceptions=True)

    return serve


@ON_BOTH_LOOPS
def test_the_certificate_is_verified_with_tls(
    cache_redis_url: str, tmp_path: Path, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """A proxy terminates TLS, because the bundled redis-server does not support it."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(speak_tls(cache_redis_url, tmp_path))


async def speak_tls(cache_redis_url: str, tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ours")
    context, public = authority.server(x509.DNSName("localhost")), authority.file
    target = int(cache_redis_url.rsplit(":", 1)[1].partition("/")[0])
    server = await asyncio.start_server(passing_to(target), "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    async with node_at(f"rediss://localhost:{port}/0?ssl_ca_certs={public}") as node:
        texts = [str(number) * 5000 for number in range(100)]
        assert await asyncio.gather(*(echo(node, text) for text in texts)) == texts
    for url in (f"rediss://localhost:{port}/0", f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={public}"):
        async with node_at(url) as node:
            with pytest.raises(CountersUnavailable, match=r"(?i)certificate"):
                await echo(node, "x")
    server.close()


async def test_scripts_can_be_loaded_before_they_are_called(queueing: Scripts, queue: Redis) -> None:
    await queue.script_flush()
    await queueing.load()
    names = [file.stem for file in (ROOT / "app" / "queue" / "lua").glob("[!_]*.lua")]
    digests = [sha1(source("app.queue", name).encode()).hexdigest() for name in names]
    assert len(digests) > 10
    assert all(await queue.script_exists(*digests))
