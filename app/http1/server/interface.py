"""What an exchange needs of the connection that carries it."""

import asyncio
from typing import Protocol

from app.errors import PenstockError

Address = tuple[str, int]
"""A host and a port."""


class ConnectionInterface(Protocol):
    """A connection as its exchanges see it; ServerConnection implements it."""

    client: Address | None
    server: Address | None
    drain_waiter: asyncio.Future[None] | None
    """Set while the client reads more slowly than responses are written; done once it has caught up."""

    def write(self, data: bytes) -> None:
        """Send these bytes to the client."""

    def body_requested(self) -> None:
        """The application waits for more of a request's body."""

    def response_finished(self, *, keep_alive: bool) -> None:
        """The response of the oldest exchange has been written; without `keep_alive` it was the connection's last."""

    def request_refused(self, error: PenstockError) -> None:
        """A request ended with this error instead of a response of the application."""

    def task_finished(self, task: asyncio.Task[None] | None) -> None:
        """The task of an exchange is about to end."""

    def abort(self) -> None:
        """Close the connection at once, so that the client does not take a truncated response for a complete one."""

    def check_deadlines(self, now: float) -> None:
        """Close the connection if the client takes too long."""
