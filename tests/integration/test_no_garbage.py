"""Nothing of a request is left to the garbage collector, which would walk the whole heap for it again and again."""

import asyncio
import gc
from collections import Counter

from redis.asyncio import Redis

from app.settings import Settings
from tests.support.edge_in_process import OK, Exchange, edge_running

REQUESTS = 100


async def test_a_forwarded_request_leaves_no_cycle(settings: Settings, cache: Redis) -> None:
    async def keeps_answering(exchange: Exchange) -> None:
        await exchange.answer(OK)
        while await exchange.reader.readuntil(b"\r\n\r\n"):
            await exchange.answer(OK)

    async with edge_running(settings, cache) as edge:
        edge.app_server.handler = keeps_answering
        await edge.rule("u", key_type="user", key_value="*", limit=100_000, window_seconds=1)
        request = f"GET /x HTTP/1.1\r\nHost: a\r\n{edge.bearer('x')}\r\n\r\n".encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)

        async def ask(times: int) -> None:
            for _ in range(times):
                writer.write(request)
                assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(2)

        await ask(50)  # fills what is filled once
        gc.collect()
        gc.disable()
        try:
            await ask(REQUESTS)
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            left = Counter(type(one).__name__ for one in gc.garbage)
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
            writer.close()
        assert max(left.values(), default=0) < REQUESTS, left
