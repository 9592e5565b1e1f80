"""What the parts of a connection need of it."""

import asyncio

from app.errors import PenstockError
from app.http1.server.head import Head
from app.web.headers import Headers

Address = tuple[str, int]
"""A host and a port."""


class ConnectionInterface:
    """The base class of ServerConnection, which its parser and its exchanges call.

    It is a class, and not a typing.Protocol, because mypyc compiles calls of its methods to calls of C functions.
    """

    client: Address | None
    server: Address | None
    drain_waiter: asyncio.Future[None] | None
    """Set while the client reads more slowly than responses are written; done once it has caught up."""

    # Called by the parser. An error that one of these raises ends the parsing.

    def head_started(self) -> None:
        """The first byte of a request has been received."""
        raise NotImplementedError

    def head_received(self, head: Head, *, keep_alive: bool) -> None:
        """A whole head has been received; `keep_alive`: whether the client may send another request after this one."""
        raise NotImplementedError

    def body_received(self, data: bytes) -> None:
        """A piece of the body has been received."""
        raise NotImplementedError

    def request_complete(self) -> None:
        """The whole request has been received."""
        raise NotImplementedError

    # Called by exchanges

    def write(self, data: bytes) -> None:
        """Send these bytes to the client."""
        raise NotImplementedError

    def own_headers(self, head: Head) -> Headers:
        """What is added to each response of the server's own to the request with this head."""
        raise NotImplementedError

    def body_requested(self) -> None:
        """The application waits for more of a request's body."""
        raise NotImplementedError

    def response_finished(self, *, keep_alive: bool) -> None:
        """The response of the oldest exchange has been written; without `keep_alive` it was the connection's last."""
        raise NotImplementedError

    def request_refused(self, error: PenstockError) -> None:
        """A request ended with this error instead of a response of the application."""
        raise NotImplementedError

    def task_finished(self, task: asyncio.Task[None] | None) -> None:
        """The task of an exchange is about to end."""
        raise NotImplementedError

    def abort(self) -> None:
        """Close the connection at once, so that the client does not take a truncated response for a complete one."""
        raise NotImplementedError

    # Called by the server

    def check_deadlines(self, now: float) -> None:
        """Close the connection if the client takes too long."""
        raise NotImplementedError
