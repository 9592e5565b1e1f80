"""Callers that list their jobs at a fixed rate, in a process of their own so that they do not slow down the probe.

    python -m tests.benchmarks.poller URL PER_S SECONDS    a token in each line of stdin

Prints one line of JSON: the number of responses by status.
"""

import asyncio
import json
import sys
from collections import Counter
from time import monotonic

import aiohttp

TIMEOUT_S = 60.0


async def poll(http: aiohttp.ClientSession, url: str, token: str, per_s: float, until_s: float) -> Counter[str]:
    """Send the requests of one caller at fixed times, whether or not the earlier ones have been answered."""
    found: Counter[str] = Counter()

    async def once() -> None:
        async with http.get(url, headers={"Authorization": f"Bearer {token}"}) as response:
            await response.read()
            found[str(response.status)] += 1

    requests: set[asyncio.Task[None]] = set()
    next_s = monotonic()
    while next_s < until_s:
        await asyncio.sleep(next_s - monotonic())
        requests.add(asyncio.create_task(once()))
        next_s += 1 / per_s
    await asyncio.gather(*requests)
    return found


async def main(url: str, per_s: str, seconds: str) -> None:
    tokens = sys.stdin.read().split()
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as http:
        until_s = monotonic() + float(seconds)
        counts = await asyncio.gather(*(poll(http, url, token, float(per_s), until_s) for token in tokens))
    print(json.dumps(sum(counts, Counter())))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
