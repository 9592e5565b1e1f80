"""One request and its response, as an application of the server handles them."""

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from app.errors import ClientGone, PenstockError
from app.http1.server.head import Head
from app.http1.server.interface import ConnectionInterface
from app.http1.server.request_body import RequestBody
from app.http1.server.response_writer import ResponseWriter
from app.web.problems import Reply, error_reply, problem

PendingResponse = Coroutine[Any, Any, None]
Application = Callable[["Exchange"], PendingResponse | None]
"""Writes the response at once, or returns the coroutine that writes it.

It may raise PenstockError, which becomes the response unless one has been started.
"""

_log = logging.getLogger(__name__)


class Exchange:
    """A request, its body as it is received, and its response.

    `disconnected`: the client is gone, and whatever is written is dropped. `cancel_on_disconnect`: the application sets
    this while its task is to be cancelled when the client goes away.
    """

    __slots__ = (
        "_connection",
        "body",
        "cancel_on_disconnect",
        "client",
        "disconnected",
        "head",
        "response",
        "server",
        "task",
    )

    def __init__(self, connection: ConnectionInterface, head: Head, *, keep_alive: bool) -> None:
        self._connection = connection
        self.client, self.server = connection.client, connection.server
        self.head = head
        self.response = ResponseWriter(connection, head, keep_alive=keep_alive)
        awaits_continue = head.expects_continue and head.has_body
        self.body = RequestBody(connection, self.response, awaits_continue=awaits_continue)
        self.disconnected = self.cancel_on_disconnect = False
        self.task: asyncio.Task[None] | None = None

    # Called by the connection

    def call(self, application: Application) -> PendingResponse | None:
        """Call the application. Returns a coroutine to `run`, or None if the response has been written."""
        try:
            pending = application(self)
        except PenstockError as error:
            self.refuse(error)
        except Exception:
            self._fail("The application raised an exception.")
        else:
            if pending is None:
                self._require_finished()
            return pending
        return None

    async def run(self, pending: PendingResponse) -> None:
        """Wait until the application has written the response; without a complete one, close the connection."""
        try:
            if self.disconnected:  # before the task could begin
                pending.close()
            else:
                await pending
        except PenstockError as error:
            self.refuse(error)
        except Exception:
            self._fail("The application raised an exception.")
        except asyncio.CancelledError:
            if not self.disconnected or self.task is None or self.task.uncancel():
                self._connection.abort()
                raise
            self._connection.request_refused(ClientGone())
        else:
            self._require_finished()
        finally:
            self._connection.task_finished(self.task)

    def disconnect(self) -> None:
        """The client is gone, or no response can reach it any more."""
        self.disconnected = True
        self.response.discard()
        self.body.close()
        if self.cancel_on_disconnect and self.task is not None:
            self.task.cancel()

    def refuse(self, error: PenstockError) -> None:
        """Respond with an error. If a response has been started, close the connection instead."""
        started = self.response.started
        if self.disconnected or not started:
            self._connection.request_refused(error)
        if started:
            self._connection.abort()
        elif not self.disconnected:
            self.reply(error_reply(error))

    # Called by the application

    def reply(self, reply: Reply) -> None:
        """Send a whole response."""
        if self.disconnected:
            return
        self._settle_keep_alive()
        self.response.reply(reply, self._connection.own_headers(self.head))
        self._finished()

    def inform(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Send an interim response, with a 1xx status, if the client can take one."""
        if not self.disconnected:
            self.response.inform(status, headers)

    def start_own_response(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Begin a response that is no app server's."""
        self.start_response(status, [*headers, *self._connection.own_headers(self.head)])

    def start_response(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Begin a response with this status and these headers, whose names are in lower case."""
        if not self.disconnected:
            self._settle_keep_alive()
            self.response.start(status, headers)

    def write(self, chunk: bytes) -> None:
        """Send a chunk of the response's body."""
        if not self.disconnected:
            self.response.write(chunk)

    async def drain(self) -> None:
        """Wait while the client reads more slowly than the response is written."""
        waiter = self._connection.drain_waiter
        if waiter is not None:
            await asyncio.shield(waiter)

    def finish(self, chunk: bytes = b"") -> None:
        """Send the last chunk of the response's body."""
        if not self.disconnected:
            self.response.finish(chunk)
            self._finished()

    def _settle_keep_alive(self) -> None:
        if self.body.awaits_continue:  # the client may now send the body or skip it, and nobody can tell which
            self.response.keep_alive = False

    def _finished(self) -> None:
        self.body.discard()
        self._connection.response_finished(keep_alive=self.response.keep_alive)

    def _require_finished(self) -> None:
        if not self.response.finished and not self.disconnected:
            self._fail("The application returned without a complete response.")

    def _fail(self, message: str) -> None:
        _log.error(message, exc_info=sys.exception() is not None)
        if self.response.started or self.disconnected:
            self._connection.abort()
            return
        self.response.keep_alive = False
        self.reply(problem(500, "An internal error occurred."))
