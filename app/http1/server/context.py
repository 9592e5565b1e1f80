"""What all connections of a server share."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from app.errors import PenstockError
from app.http1.server.exchange import Application
from app.http1.server.interface import ConnectionInterface
from app.http1.server.limits import ServerLimits
from app.web.headers import Headers

OnRefused = Callable[[PenstockError], None]
OwnHeaders = Callable[[Headers], Headers]


@dataclass(frozen=True, slots=True, eq=False)
class ServerContext:
    """The application and the limits of a server, its open connections, and the tasks of its exchanges.

    `on_refused` is called with the error of each request that ends in one before or in the application. `own_headers`
    says, by the headers of a request, what is added to a response that is no app server's.
    """

    application: Application
    limits: ServerLimits
    on_refused: OnRefused
    own_headers: OwnHeaders | None = None
    connections: set[ConnectionInterface] = field(default_factory=set)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def check_deadlines(self, now: float) -> None:
        """Close the connections of clients that take too long. To be called regularly."""
        for connection in tuple(self.connections):
            connection.check_deadlines(now)
