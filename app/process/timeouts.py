"""The periodic check of a server's connections for clients that exceed their deadlines."""

import asyncio

from app.http1.server.context import ServerContext

CHECK_INTERVAL_S = 0.5
"""By how much a slow client may exceed its deadline."""


async def enforce_timeouts(context: ServerContext) -> None:
    """Close the connections of clients that are too slow, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(CHECK_INTERVAL_S)
        context.check_deadlines(loop.time())
