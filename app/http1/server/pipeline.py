"""The exchanges of one connection that wait for their responses, in the order of their requests."""

import asyncio
from collections import deque

from app.http1.server.context import ServerContext
from app.http1.server.exchange import Exchange


class Pipeline:
    """A queue of exchanges. Only the oldest one is with the application, so that responses are never reordered."""

    def __init__(self, context: ServerContext) -> None:
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._exchanges: deque[Exchange] = deque()
        self._starting = False

    def __len__(self) -> int:
        """How many exchanges wait."""
        return len(self._exchanges)

    def append(self, exchange: Exchange) -> None:
        """Add the exchange of a request that follows the others."""
        self._exchanges.append(exchange)

    def pop(self) -> None:
        """Remove the oldest exchange."""
        self._exchanges.popleft()

    def remove(self, exchange: Exchange) -> None:
        """Remove an exchange that will have no response."""
        self._exchanges.remove(exchange)

    def clear(self) -> None:
        """Remove all exchanges."""
        self._exchanges.clear()

    def start_oldest(self) -> None:
        """Call the application for the oldest exchange, and for the next ones while responses are written at once."""
        if self._starting:
            return
        self._starting = True
        started = None
        while self._exchanges and (exchange := self._exchanges[0]).task is None and exchange is not started:
            pending = exchange.call(self._context.application)
            if pending is not None:
                exchange.task = self._loop.create_task(exchange.run(pending))
                self._context.tasks.add(exchange.task)
            started = exchange
        self._starting = False

    def end_with_newest(self) -> None:
        """Let the connection be closed after the response to the request that was received last."""
        self._exchanges[-1].response.keep_alive = False

    def disconnect(self) -> None:
        """Tell all exchanges that the client is gone, and remove them."""
        for exchange in self._exchanges:
            exchange.disconnect()
        self._exchanges.clear()
