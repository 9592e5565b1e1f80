"""One request and its answer: the ASGI side of a connection."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from http import HTTPStatus
from typing import Any, Protocol

from app.errors import PenstockError
from app.problems import Reply, problem

Message = MutableMapping[str, Any]
Application = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]

NO_CONTENT = 204
WITHOUT_BODY = frozenset({NO_CONTENT, 304})
ON_LEAVE = "penstock.on_leave"
"""In the scope's extensions: takes what is to be called once when the client goes away, or None; at once if it has."""

FRAMING = frozenset({b"content-length", b"transfer-encoding", b"connection"})
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_STATUS_LINES = {int(status): f"HTTP/1.1 {int(status)} {status.phrase}\r\n".encode() for status in HTTPStatus}

_log = logging.getLogger(__name__)


class Line(Protocol):
    """What an exchange needs of its connection."""

    def write(self, *parts: bytes) -> None:
        """Send these bytes."""

    async def writable(self) -> None:
        """Until the client has taken most of what was sent."""

    def wanted(self) -> None:
        """More of the body is."""

    def answered(self, exchange: "Exchange") -> None:
        """This exchange's answer is whole."""

    def abort(self) -> None:
        """End the connection at once, so that nobody takes the answer for whole."""


class Exchange:
    """`receive` and `send` of an ASGI application. Held back: what has come of the body and was not yet asked for."""

    __slots__ = (
        "_bodiless",
        "_chunked",
        "_given",
        "_head",
        "_left",
        "_line",
        "_news",
        "_on_leave",
        "_parts",
        "_whole",
        "awaits_continue",
        "begun",
        "complete",
        "held_back",
        "keep_alive",
        "left",
        "received",
        "running",
        "scope",
        "task",
    )

    def __init__(self, line: Line, scope: Message, *, keep_alive: bool, awaits_continue: bool) -> None:
        self._line = line
        self._news = asyncio.Event()
        self._parts: list[bytes] = []
        self._whole = self._given = False
        self._bodiless = self._chunked = False
        self._left: int | None = None
        self._head = b""
        self._on_leave: Callable[[], None] | None = None
        self.scope = scope
        scope["extensions"] = {ON_LEAVE: self.on_leave}
        self.keep_alive = keep_alive
        self.awaits_continue = awaits_continue
        self.held_back = self.received = 0
        self.running = self.begun = self.complete = self.left = False
        self.task: asyncio.Task[None] | None = None

    # From the connection

    def body(self, data: bytes) -> None:
        """A piece of the body came."""
        self._parts.append(data)
        self.held_back += len(data)
        self._news.set()

    def whole(self) -> None:
        """All of the body came."""
        self._whole = True
        self._news.set()

    def leave(self) -> None:
        """The client is gone, or as good as: nothing more is received, and what is sent goes nowhere."""
        self.left = True
        self._head = b""
        self._news.set()
        if self._on_leave is not None:
            self._on_leave()
        if self.task is not None and not self.running:
            self.task.cancel()

    async def run(self, application: Application) -> None:
        """Let the application answer; an answer that it leaves unfinished ends the connection."""
        self.running = True
        try:
            await application(self.scope, self.receive, self.send)
        except PenstockError:  # the answer had begun, and can't be finished
            self._line.abort()
        except Exception:
            _log.exception("a request failed")
            await self._fail()
        except asyncio.CancelledError:
            self._line.abort()
            raise
        else:
            if not self.complete and not self.left:
                _log.error("a request was not answered to its end")
                await self._fail()
        finally:
            self.scope.clear()  # it refers to this exchange: without it nothing of a request is the collector's to find

    async def _fail(self) -> None:
        if self.begun or self.left:
            self._line.abort()
            return
        self.keep_alive = False
        reply = problem(500, "Something went wrong here.")
        await self.send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
        await self.send({"type": "http.response.body", "body": reply.body})

    # To the application

    def on_leave(self, callback: Callable[[], None] | None) -> None:
        """An extension: what ASGI has a task for, that does nothing but wait for the disconnect."""
        self._on_leave = callback
        if self.left and callback is not None:
            callback()

    async def receive(self) -> Message:
        """ASGI's: what has come of the body; once that was all, that the client is gone."""
        while not (self._parts or (self._whole and not self._given) or self.left or self.complete):
            if self.awaits_continue and not self.begun:
                self.awaits_continue = False
                self._line.write(CONTINUE)
            self._line.wanted()
            self._news.clear()
            await self._news.wait()
        if self.left or self.complete:
            return {"type": "http.disconnect"}
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        self.held_back = 0
        self._given = self._whole
        return {"type": "http.request", "body": body, "more_body": not self._whole}

    async def send(self, message: Message) -> None:
        """ASGI's. Waits while the client does not take what was sent before."""
        await self._line.writable()
        if self.left:
            return
        if message["type"] == "http.response.start":
            self._begin(message["status"], message["headers"])
        else:
            self._continue(message.get("body", b""), more=message.get("more_body", False))

    def _begin(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        if self.begun:
            raise RuntimeError("An answer begins once.")
        self._bodiless = self.scope["method"] == "HEAD" or status in WITHOUT_BODY
        if self.awaits_continue:  # whether the client sends the body now can't be told
            self.keep_alive = False
        lines = self._lines(status, headers)
        head = b"".join([_status_line(status), *lines, b"\r\n"])
        if not head.count(b"\r") == head.count(b"\n") == len(lines) + 2:
            raise RuntimeError("A header of an answer holds a line break.")
        self.begun = True
        self._head = head  # in one piece with the body, if some of it is there at once
        asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        head, self._head = self._head, b""
        if head:
            self._line.write(head)

    def _lines(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
        """The headers as they go out; how the body is framed is decided here alone."""
        lines = []
        for name, value in headers:
            if name == b"connection":
                self.keep_alive = self.keep_alive and value.strip().lower() != b"close"
            elif name == b"content-length" and status != NO_CONTENT:
                self._left = int(value)
                lines.append(b"content-length: %d\r\n" % self._left)
            elif name not in FRAMING:
                lines.append(b"%b: %b\r\n" % (name, value))
        if self._left is None and not self._bodiless:
            if self.scope["http_version"] == "1.1":
                self._chunked = True
                lines.append(b"transfer-encoding: chunked\r\n")
            else:  # it ends with the connection
                self.keep_alive = False
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        return lines

    def _continue(self, body: bytes, *, more: bool) -> None:
        if not self.begun or self.complete:
            raise RuntimeError("An answer goes on between its beginning and its end.")
        parts = [self._head] if self._head and (body or not more) else []
        if self._bodiless:
            pass
        elif self._chunked:
            if body:
                parts += (b"%x\r\n" % len(body), body, b"\r\n")
            if not more:
                parts.append(b"0\r\n\r\n")
        else:
            self._count(len(body), more=more)
            if body:
                parts.append(body)
        if parts:
            self._head = b""
            self._line.write(*parts)
        if not more:
            self.complete = True
            self._parts.clear()
            self.held_back = 0
            self._news.set()
            self._line.answered(self)

    def _count(self, size: int, *, more: bool) -> None:
        if self._left is None:
            return
        self._left -= size
        if self._left < 0 or (self._left > 0 and not more):
            raise RuntimeError("The answer is not as long as its Content-Length says.")


def _status_line(status: int) -> bytes:
    return _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


def last_answer(reply: Reply) -> bytes:
    """A whole answer after which the connection ends."""
    lines = [b"%b: %b\r\n" % header for header in reply.headers]
    return b"".join([_status_line(reply.status), *lines, b"connection: close\r\n\r\n", reply.body])
