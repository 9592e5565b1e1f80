"""What all connections of a server share."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from app.errors import PenstockError
from app.http1.server.exchange import Application
from app.http1.server.interface import ConnectionInterface
from app.http1.server.limits import ServerLimits

OnRefused = Callable[[PenstockError], None]


@dataclass(frozen=True, slots=True, eq=False)
class ServerContext:
    """The application and the limits of a server, its open connections, and the tasks of its exchanges.

    `on_refused` is called with the error of each request that ends in one before or in the application.
    """

    application: Application
    limits: ServerLimits
    on_refused: OnRefused
    connections: set[ConnectionInterface] = field(default_factory=set)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def check_deadlines(self, now: float) -> None:
        """Close the connections of clients that take too long. To be called regularly."""
        for connection in tuple(self.connections):
            connection.check_deadlines(now)
