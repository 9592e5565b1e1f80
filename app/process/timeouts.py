"""The periodic check of a server's connections for clients that exceed their time limits."""

import asyncio

from app.http1.server.connection import Serving

CHECK_INTERVAL_S = 0.5
"""How much longer than its time limit a slow client may take."""


async def enforce_timeouts(serving: Serving) -> None:
    """Cut the connections of clients that are too slow, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(CHECK_INTERVAL_S)
        serving.check(loop.time())
