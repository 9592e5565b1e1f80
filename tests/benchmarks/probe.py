"""Measures latency with requests at fixed times, each counted from the time at which it was due."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

import aiohttp

from tests.benchmarks.errors import require


@dataclass(frozen=True)
class ProbeRequest:
    """A request that is sent repeatedly, and the status that is expected."""

    method: str
    url: str
    headers: dict[str, str]
    body: str
    status: int


@dataclass(frozen=True)
class ProbeResult:
    """When a request was due, in seconds since the start, and its latency from then on."""

    due_s: float
    latency_s: float


async def probe(
    http: aiohttp.ClientSession, requests: Sequence[ProbeRequest], per_s: float, start_s: float, seconds: float
) -> list[ProbeResult]:
    """Send these requests in turn at this rate, beginning at `start_s` (`time.monotonic`).

    A 503 counts as an infinite latency. Raises WrongAnswer for any other unexpected status.
    """
    results: list[ProbeResult] = []

    async def send(request: ProbeRequest, due_s: float) -> None:
        await asyncio.sleep(start_s + due_s - monotonic())
        sent = http.request(request.method, request.url, headers=request.headers, data=request.body or None)
        async with sent as response:
            await response.read()
            unavailable = response.status == 503
            right = unavailable or response.status == request.status
            require(right, f"{request.method} {request.url}: {response.status}")
        results.append(ProbeResult(due_s, math.inf if unavailable else monotonic() - start_s - due_s))

    times = int(per_s * seconds)
    await asyncio.gather(*(send(requests[at % len(requests)], at / per_s) for at in range(times)))
    return results
