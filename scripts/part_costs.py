"""Measures the hand-written parts of the hot path beside the libraries that could take their place.

    .venv/bin/python -m scripts.part_costs

CPU time of this process for one operation, the median of several rounds; docs/architecture.md quotes it.
"""

import asyncio
import socket
import statistics
import sys
import tempfile
import time
from asyncio.subprocess import create_subprocess_exec
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import uvloop
from cachetools import LRUCache
from prometheus_client import CollectorRegistry, Counter
from prometheus_client import Histogram as LibraryHistogram

from app.clients import cache_redis, counter_scripts, upstream_pools
from app.local.stores import cache_store, redis_is_ready
from app.process.histogram import Histogram
from app.process.lru_cache import TwoGenerationLRUCache
from app.settings import Settings
from app.upstream.upstream import Upstream

ROUNDS = 5
OPERATIONS = 1000
TOGETHER = 50
BOUNDS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.5)
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SERVER = f"""
import asyncio
async def serve(reader, writer):
    try:
        while await reader.readuntil(b"\\r\\n\\r\\n"):
            writer.write({ANSWER!r})
    except asyncio.IncompleteReadError:
        writer.close()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


def cost_us(operation: Callable[[], object], repeat: int = 100_000) -> float:
    """Microseconds of CPU for one call."""
    rounds = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(repeat):
            operation()
        rounds.append((time.process_time() - began) / repeat * 1e6)
    return statistics.median(rounds)


async def async_cost_us(operation: Callable[[], Awaitable[object]], together: int = 1) -> float:
    """The same for one call that is awaited, with so many others at once."""
    rounds = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(OPERATIONS // together):
            await asyncio.gather(*(operation() for _ in range(together)))
        rounds.append((time.process_time() - began) / OPERATIONS * 1e6)
    return statistics.median(rounds)


def report(what: str, ours_us: float, library: str, library_us: float) -> None:
    """Print one comparison."""
    print(f"{what:32} {ours_us:8.2f} us   {library:32} {library_us:8.2f} us   {library_us / ours_us:5.1f} times")  # noqa: T201 - it is what the script is for


def measure_memory() -> None:
    """A hit in a cache, a counter and a histogram."""
    ours: TwoGenerationLRUCache[str, int] = TwoGenerationLRUCache(1000)
    theirs: LRUCache[str, int] = LRUCache(1000)
    for number in range(400):
        ours.put(str(number), number)
        theirs[str(number)] = number
    hit = cost_us(lambda: ours.get("7")), cost_us(lambda: theirs.get("7"))
    report("TwoGenerationLRUCache.get", hit[0], "cachetools.LRUCache.get", hit[1])
    registry = CollectorRegistry()
    histogram, library = Histogram(BOUNDS), LibraryHistogram("h", "h", buckets=BOUNDS, registry=registry)
    observed = cost_us(lambda: histogram.observe(0.001)), cost_us(lambda: library.observe(0.001))
    report("Histogram.observe", observed[0], "prometheus_client.Histogram", observed[1])
    counter, box = Counter("c", "c", registry=registry), [0]
    report(
        "a plain number",
        cost_us(lambda: box.__setitem__(0, box[0] + 1)),
        "prometheus_client.Counter.inc",
        cost_us(counter.inc),
    )


async def measure_redis(folder: Path) -> None:
    """A script on a Redis, called once at a time and fifty at once."""
    store = cache_store(folder / "redis", free_port())
    redis = await create_subprocess_exec(*store.command, stdout=asyncio.subprocess.DEVNULL)
    try:
        await redis_is_ready(store.url)
        settings = Settings(cache_redis_url=store.url)
        scripts, client = counter_scripts(settings, 1000), cache_redis(settings)
        body = "return redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])"
        sha = await client.script_load(body)

        async def ours() -> None:
            await scripts.call("set_backlog_marker", ["backlog:x"], ["1000 x", 1000])

        async def theirs() -> None:
            await client.evalsha(sha, 1, "backlog:x", "1000 x", 1000)

        report("redis_wire: one script", await async_cost_us(ours), "redis-py: evalsha", await async_cost_us(theirs))

        at_once = await async_cost_us(ours, TOGETHER), await async_cost_us(theirs, TOGETHER)
        report("redis_wire: fifty at once", at_once[0], "redis-py: evalsha, its pool", at_once[1])
        await scripts.aclose()
        await client.aclose()
    finally:
        redis.terminate()
        await redis.wait()


async def measure_http() -> None:
    """A request to an app server over a connection that is kept."""
    server = await create_subprocess_exec(sys.executable, "-c", SERVER, stdout=asyncio.subprocess.PIPE)
    try:
        assert server.stdout is not None, "it is a pipe"
        url = f"http://127.0.0.1:{int(await server.stdout.readline())}"
        upstream = Upstream(upstream_pools(Settings.model_validate({"upstreams": url})))
        async with httpx.AsyncClient(trust_env=False) as client:

            async def ours() -> None:
                with await upstream.send("GET", b"/", [(b"host", b"127.0.0.1")], None) as answer:
                    answer.take()

            async def theirs() -> None:
                await client.get(url)

            costs = await async_cost_us(ours), await async_cost_us(theirs)
            report("http1/client: one request", costs[0], "httpx.AsyncClient.get", costs[1])
        await upstream.close()
    finally:
        server.terminate()
        await server.wait()


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def main() -> None:
    """Measure everything."""
    measure_memory()
    with tempfile.TemporaryDirectory() as folder:
        await measure_redis(Path(folder))
    await measure_http()


if __name__ == "__main__":
    uvloop.run(main())
