"""Writes the response to one request: its status line and headers, and its body in the framing that fits."""

from collections.abc import Iterable
from http import HTTPStatus

from app.http1.server.head import Head
from app.http1.server.interface import ConnectionInterface
from app.web.headers import Headers
from app.web.problems import Reply
from app.web.statuses import NO_CONTENT, WITHOUT_BODY

_FRAMING_HEADERS = frozenset({b"content-length", b"transfer-encoding", b"connection"})
_STATUS_LINES = {int(status): f"HTTP/1.1 {int(status)} {status.phrase}\r\n".encode() for status in HTTPStatus}


class ResponseWriter:
    """One response. Its head is held back until the first chunk, so that both leave in one write.

    `keep_alive`: whether the connection may carry another request after this response. A response that is written in
    the wrong order, or whose body differs from its Content-Length, raises RuntimeError.
    """

    __slots__ = (
        "_chunked",
        "_connection",
        "_remaining_bytes",
        "_request",
        "_unsent_head",
        "_without_body",
        "finished",
        "keep_alive",
        "started",
    )

    def __init__(self, connection: ConnectionInterface, request: Head, *, keep_alive: bool) -> None:
        self._connection = connection
        self._request = request
        self._unsent_head = b""
        self._remaining_bytes: int | None = None
        self._chunked = self._without_body = False
        self.keep_alive = keep_alive
        self.started = self.finished = False

    def start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Begin with this status and these headers, whose names are in lower case."""
        if self.started:
            raise RuntimeError("The response has already been started.")
        self._without_body = self._request.method == "HEAD" or status in WITHOUT_BODY
        lines = self._header_lines(status, headers)
        head = b"".join([_status_line(status), *lines, b"\r\n"])
        if len(head.splitlines()) != len(lines) + 2:
            raise RuntimeError("A header of the response contains a line break.")
        self.started = True
        self._unsent_head = head

    def inform(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Send an interim response, unless the response has begun or the client speaks HTTP/1.0, which has none."""
        if self.started or self._request.version != "1.1":
            return
        lines = [name + b": " + value + b"\r\n" for name, value in headers if name not in _FRAMING_HEADERS]
        self._connection.write(b"".join([_status_line(status), *lines, b"\r\n"]))

    def flush(self) -> None:
        """Send the head if it is still held back."""
        head, self._unsent_head = self._unsent_head, b""
        if head:
            self._connection.write(head)

    def discard(self) -> None:
        """Drop the head if it is still held back."""
        self._unsent_head = b""

    def write(self, chunk: bytes) -> None:
        """Send a chunk of the body; an empty one sends the head if it is still held back."""
        self._send(chunk, last=False)

    def finish(self, chunk: bytes = b"") -> None:
        """Send the last chunk of the body, and end the response."""
        self._send(chunk, last=True)
        self.finished = True

    def reply(self, reply: Reply, more: Headers) -> None:
        """Send a whole response with `more` headers. What most clients get is encoded once, and kept with the reply."""
        request = self._request
        common = self.keep_alive and request.version == "1.1" and request.method != "HEAD"
        if common and reply.encoded_with is more:
            self.started = True
            data = reply.encoded
        else:
            self.start(reply.status, [*reply.headers, *more])
            data = self._frame(reply.body, last=True)
            if common and self.keep_alive:
                reply.encoded, reply.encoded_with = data, more
        self._connection.write(data)
        self.finished = True

    def _send(self, chunk: bytes, *, last: bool) -> None:
        if not self.started or self.finished:
            raise RuntimeError("A body can be written only between the start and the end of its response.")
        data = self._frame(chunk, last=last)
        if data:
            self._connection.write(data)

    def _header_lines(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
        """The headers as they are sent. The framing of the body is decided here and nowhere else."""
        lines = []
        for name, value in headers:
            if name not in _FRAMING_HEADERS:
                lines.append(name + b": " + value + b"\r\n")
            elif name == b"connection":
                self.keep_alive = self.keep_alive and value.strip().lower() != b"close"
            elif name == b"content-length" and status != NO_CONTENT:
                self._remaining_bytes = int(value)
                lines.append(b"content-length: %d\r\n" % self._remaining_bytes)
        if self._remaining_bytes is None and not self._without_body:
            if self._request.version == "1.1":
                self._chunked = True
                lines.append(b"transfer-encoding: chunked\r\n")
            else:  # HTTP/1.0 has no chunks: the end of the connection is the end of the body
                self.keep_alive = False
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        return lines

    def _frame(self, chunk: bytes, *, last: bool) -> bytes:
        head, self._unsent_head = self._unsent_head, b""
        if self._without_body:
            return head
        if self._chunked:
            if chunk:
                chunk = b"%x\r\n%b\r\n" % (len(chunk), chunk)
            return head + chunk + (b"0\r\n\r\n" if last else b"")
        if self._remaining_bytes is not None:
            self._remaining_bytes -= len(chunk)
            if self._remaining_bytes < 0 or (self._remaining_bytes > 0 and last):
                raise RuntimeError("The length of the response's body differs from its Content-Length.")
        return head + chunk if head else chunk


def encode_last_reply(reply: Reply) -> bytes:
    """A whole response after which the connection is closed."""
    lines = [b"%b: %b\r\n" % header for header in reply.headers]
    return b"".join([_status_line(reply.status), *lines, b"connection: close\r\n\r\n", reply.body])


def _status_line(status: int) -> bytes:
    return _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status
