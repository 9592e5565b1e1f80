"""Whether a child process of `penstock up` does what it is for."""

import asyncio
from urllib.parse import urlsplit

import httpx
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.local.process_spec import ProcessSpec

TIMEOUT_S = 2.0


async def is_healthy(http: httpx.AsyncClient, spec: ProcessSpec) -> bool:
    """Ask a process by HTTP, a Redis by PING, and another store for a connection. True for one without an address."""
    url = spec.ops_url or spec.url
    if url is None:
        return True
    try:
        async with asyncio.timeout(TIMEOUT_S):
            if url.startswith("redis:"):
                return await _pings(url)
            if url.startswith("http"):
                return (await http.get(url + spec.health_path)).is_success
            return await _connects(url)
    except (httpx.HTTPError, OSError, TimeoutError):
        return False


async def _pings(url: str) -> bool:
    try:
        async with Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S) as client:
            return bool(await client.ping())
    except RedisError:
        return False


async def _connects(url: str) -> bool:
    address = urlsplit(url if "://" in url else f"tcp://{url}")
    _, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.close()
    return True
