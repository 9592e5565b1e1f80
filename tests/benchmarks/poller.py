"""Callers that list their jobs at a fixed rate, in a process of their own so that they do not slow down the probe.

    python -m tests.benchmarks.poller URL PER_S START_S SECONDS    a token in each line of stdin

They poll in every other second, the second one first (`is_polled`). `START_S` is a time of `time.monotonic`, which all
processes share. Prints one line of JSON: the number of responses by status.
"""

import asyncio
import json
import os
import sys
from collections import Counter
from time import monotonic

import aiohttp

TIMEOUT_S = 60.0
LOWEST_PRIORITY = 19
"""Of the kernel's: the process yields the core to the probe, whose own work must not look like the server's."""


def is_polled(since_start_s: float) -> bool:
    """Whether the callers poll at this time. Seconds with and without polling take turns."""
    return int(since_start_s) % 2 == 1


async def poll(http: aiohttp.ClientSession, url: str, token: str, due_s: list[float]) -> Counter[str]:
    """Send the requests of one caller at these times, whether or not the earlier ones have been answered."""
    found: Counter[str] = Counter()

    async def once() -> None:
        async with http.get(url, headers={"Authorization": f"Bearer {token}"}) as response:
            await response.read()
            found[str(response.status)] += 1

    requests: set[asyncio.Task[None]] = set()
    for at_s in due_s:
        await asyncio.sleep(at_s - monotonic())
        requests.add(asyncio.create_task(once()))
    await asyncio.gather(*requests)
    return found


async def main(url: str, per_s: str, start_s: str, seconds: str) -> None:
    tokens = sys.stdin.read().split()
    times = [number / float(per_s) for number in range(int(float(per_s) * float(seconds)))]
    due_s = [float(start_s) + at_s for at_s in times if is_polled(at_s)]
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as http:
        if monotonic() > float(start_s):
            sys.exit("The pollers were started too late.")
        counts = await asyncio.gather(*(poll(http, url, token, due_s) for token in tokens))
    print(json.dumps(sum(counts, Counter())))


if __name__ == "__main__":
    os.setpriority(os.PRIO_PROCESS, 0, LOWEST_PRIORITY)
    asyncio.run(main(*sys.argv[1:]))
