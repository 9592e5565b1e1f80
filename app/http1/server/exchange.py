"""One request and its answer, as who answers has them."""

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine, Iterable
from http import HTTPStatus
from typing import Any, Protocol

from app.errors import ClientGone, PenstockError
from app.http1.server.head import Head
from app.web.problems import Reply, of_error, problem

Address = tuple[str, int]
Answering = Coroutine[Any, Any, None]
Application = Callable[["Exchange"], Answering | None]
"""Answers at once, or returns what there is to wait for. May raise PenstockError before the answer has begun."""

NO_CONTENT = 204
WITHOUT_BODY = frozenset({NO_CONTENT, 304})

FRAMING = frozenset({b"content-length", b"transfer-encoding", b"connection"})
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_STATUS_LINES = {int(status): f"HTTP/1.1 {int(status)} {status.phrase}\r\n".encode() for status in HTTPStatus}

_log = logging.getLogger(__name__)


class ServerConnectionProtocol(Protocol):
    """What an exchange needs of its connection."""

    client: Address | None
    server: Address | None

    def write(self, data: bytes) -> None:
        """Send these bytes."""

    @property
    def writable(self) -> asyncio.Future[None] | None:
        """What to wait for while the client does not take what was sent."""

    def wanted(self) -> None:
        """More of the body is."""

    def answered(self, exchange: "Exchange") -> None:
        """This exchange's answer is whole."""

    def refused(self, error: PenstockError) -> None:
        """This is all that becomes of the request."""

    def over(self, task: asyncio.Task[None] | None) -> None:
        """This was an exchange's task; nothing comes after it."""

    def abort(self) -> None:
        """End the connection at once, so that nobody takes the answer for whole."""


class Exchange:
    """A request, its body as it comes, and its answer.

    `left`: the client is gone; what is sent goes nowhere then. `given_up`: set while an answer is not worth going on
    with then: who answers is cancelled. `given`: all of the body was taken. Held back: what has come of it and was not.
    """

    __slots__ = (
        "_bodiless",
        "_chunked",
        "_head",
        "_left_bytes",
        "_line",
        "_news",
        "_parts",
        "_whole",
        "awaits_continue",
        "begun",
        "client",
        "complete",
        "given",
        "given_up",
        "head",
        "held_back",
        "keep_alive",
        "left",
        "received",
        "server",
        "task",
    )

    def __init__(self, line: ServerConnectionProtocol, head: Head, *, keep_alive: bool) -> None:
        self._line = line
        self.head = head
        self.client, self.server = line.client, line.server
        self.keep_alive = keep_alive
        self.awaits_continue = head.expects_continue and head.has_body
        self._news: asyncio.Event | None = None
        self._parts: list[bytes] = []
        self._whole = self.given = False
        self._bodiless = self._chunked = False
        self._left_bytes: int | None = None
        self._head = b""
        self.held_back = self.received = 0
        self.begun = self.complete = self.left = self.given_up = False
        self.task: asyncio.Task[None] | None = None

    # From the connection

    def body(self, data: bytes) -> None:
        """A piece of the body came."""
        self._parts.append(data)
        self.held_back += len(data)
        self._wake()

    def whole(self) -> None:
        """All of the body came."""
        self._whole = True
        self._wake()

    def leave(self) -> None:
        """The client is gone, or as good as: nothing more is received, and what is sent goes nowhere."""
        self.left = True
        self._head = b""
        self._wake()
        if self.given_up and self.task is not None:
            self.task.cancel()

    def start(self, application: Application) -> Answering | None:
        """Let it answer at once; what there is to wait for, else."""
        try:
            answering = application(self)
        except PenstockError as error:
            self.refuse(error)
        except Exception:
            self._fail("a request failed")
        else:
            if answering is None:
                self._require_whole()
            return answering
        return None

    async def run(self, answering: Answering) -> None:
        """Wait for the answer; one that is left unfinished ends the connection."""
        try:
            if self.left:  # before it began
                answering.close()
            else:
                await answering
        except PenstockError as error:
            self.refuse(error)
        except Exception:
            self._fail("a request failed")
        except asyncio.CancelledError:
            if not self.left or self.task is None or self.task.uncancel():
                self._line.abort()
                raise
            self._line.refused(ClientGone())
        else:
            self._require_whole()
        finally:
            self._line.over(self.task)

    def refuse(self, error: PenstockError) -> None:
        """Answer with an error, or end the connection where it is too late for that: nobody takes it for whole."""
        if self.left or not self.begun:
            self._line.refused(error)
        if self.begun:
            self._line.abort()
        elif not self.left:
            self.reply(of_error(error))

    def _require_whole(self) -> None:
        if not self.complete and not self.left:
            self._fail("a request was not answered to its end")

    def _fail(self, how: str) -> None:
        _log.error(how, exc_info=sys.exception() is not None)
        if self.begun or self.left:
            self._line.abort()
            return
        self.keep_alive = False
        self.reply(problem(500, "Something went wrong here."))

    # The request's body

    def here(self) -> bytes | None:
        """All of the body, where all of it has come and none was taken; else None."""
        return self._take() if self._whole and not self.given and self.received == self.held_back else None

    async def more(self) -> bytes:
        """What has come of the body since, at once if any has; empty only where it is over. Raises ClientGone."""
        while not (self._parts or self._whole or self.left or self.complete):
            if self.awaits_continue and not self.begun:
                self.awaits_continue = False
                self._line.write(CONTINUE)
            self._line.wanted()
            await self.news()
        if self.left or self.complete:
            raise ClientGone
        return self._take()

    async def news(self) -> None:
        """Until there is more of the body, or the exchange is over."""
        if self._news is None:
            self._news = asyncio.Event()
        self._news.clear()
        await self._news.wait()

    def _take(self) -> bytes:
        parts = self._parts
        self.given = self._whole
        if not parts:
            return b""
        self._parts = []
        self.held_back = 0
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _wake(self) -> None:
        if self._news is not None:
            self._news.set()

    # Its answer

    async def room(self) -> None:
        """Wait while the client does not take what was sent before."""
        writable = self._line.writable
        if writable is not None:
            await asyncio.shield(writable)

    def reply(self, reply: Reply) -> None:
        """A whole answer."""
        if self.left:
            return
        head = self.head
        usual = self.keep_alive and head.version == "1.1" and head.method != "HEAD" and not self.awaits_continue
        written = reply.written if usual else b""
        if written:
            self.begun = True
        else:
            self.begin(reply.status, reply.headers)
            written = self._framed(reply.body, last=True)
            if usual and self.keep_alive:
                reply.written = written
        self._line.write(written)
        self._complete()

    def begin(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Status and headers (names in lower case). They leave with what follows."""
        if self.left:
            return
        if self.begun:
            raise RuntimeError("An answer begins once.")
        self._bodiless = self.head.method == "HEAD" or status in WITHOUT_BODY
        if self.awaits_continue:  # whether the client sends the body now can't be told
            self.keep_alive = False
        lines = self._lines(status, headers)
        head = b"".join([_status_line(status), *lines, b"\r\n"])
        if len(head.splitlines()) != len(lines) + 2:
            raise RuntimeError("A header of an answer holds a line break.")
        self.begun = True
        self._head = head

    def flush(self) -> None:
        """Send the head, if it has not left yet."""
        head, self._head = self._head, b""
        if head:
            self._line.write(head)

    def send(self, chunk: bytes) -> None:
        """More of the answer's body; without any, what was held back of its head."""
        if self.left:
            return
        if not self.begun or self.complete:
            raise RuntimeError("An answer goes on between its beginning and its end.")
        framed = self._framed(chunk, last=False)
        if framed:
            self._line.write(framed)

    def end(self, chunk: bytes = b"") -> None:
        """The last of the answer's body."""
        if self.left:
            return
        if not self.begun or self.complete:
            raise RuntimeError("An answer goes on between its beginning and its end.")
        framed = self._framed(chunk, last=True)
        if framed:
            self._line.write(framed)
        self._complete()

    def _complete(self) -> None:
        self.complete = True
        self._parts.clear()
        self.held_back = 0
        self._wake()
        self._line.answered(self)

    def _lines(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
        """The headers as they go out; how the body is framed is decided here alone."""
        lines = []
        for name, value in headers:
            if name not in FRAMING:
                lines.append(name + b": " + value + b"\r\n")
            elif name == b"connection":
                self.keep_alive = self.keep_alive and value.strip().lower() != b"close"
            elif name == b"content-length" and status != NO_CONTENT:
                self._left_bytes = int(value)
                lines.append(b"content-length: %d\r\n" % self._left_bytes)
        if self._left_bytes is None and not self._bodiless:
            if self.head.version == "1.1":
                self._chunked = True
                lines.append(b"transfer-encoding: chunked\r\n")
            else:  # it ends with the connection
                self.keep_alive = False
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        return lines

    def _framed(self, chunk: bytes, *, last: bool) -> bytes:
        head, self._head = self._head, b""
        if self._bodiless:
            return head
        if self._chunked:
            if chunk:
                chunk = b"%x\r\n%b\r\n" % (len(chunk), chunk)
            return head + chunk + (b"0\r\n\r\n" if last else b"")
        if self._left_bytes is not None:
            self._left_bytes -= len(chunk)
            if self._left_bytes < 0 or (self._left_bytes > 0 and last):
                raise RuntimeError("The answer is not as long as its Content-Length says.")
        return head + chunk if head else chunk


def _status_line(status: int) -> bytes:
    return _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


def last_answer(reply: Reply) -> bytes:
    """A whole answer after which the connection ends."""
    lines = [b"%b: %b\r\n" % header for header in reply.headers]
    return b"".join([_status_line(reply.status), *lines, b"connection: close\r\n\r\n", reply.body])
