"""Parses the requests of one connection with llhttp, and bounds the size of everything that is not a body."""

import httptools

from app.errors import HeadTooLarge, InvalidInput, MalformedRequest, PenstockError, TargetTooLong
from app.http1.server.head import read_head
from app.http1.server.interface import ConnectionInterface
from app.http1.server.limits import ServerLimits
from app.web.headers import Headers


class RequestParser:
    """Tells a connection what it has received. Trailers are dropped: nothing in them could be trusted."""

    def __init__(self, connection: ConnectionInterface, limits: ServerLimits) -> None:
        parser = httptools.HttpRequestParser(self)
        # Bytes after a request with `Connection: close` are ignored instead of being an error.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._parser: httptools.HttpRequestParser | None = parser
        self._connection = connection
        self._limits = limits
        self._in_head = False
        self._url = b""
        self._headers: Headers = []
        self._trailers = 0
        self._bytes_since_progress = 0
        self._error: PenstockError | None = None

    def close(self) -> None:
        """Break the reference cycle with llhttp's parser, so that the garbage collector need not find it."""
        self._parser = None

    def feed(self, data: bytes) -> None:
        """Parse these bytes. Raises MalformedRequest, HeadTooLarge, TargetTooLong, and what the connection raises."""
        assert self._parser is not None
        self._bytes_since_progress += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            # The context of llhttp's error is not reliable: compiled coroutines may leave an exception of theirs there.
            raise self._error or error from None
        except httptools.HttpParserError as error:
            raise MalformedRequest(f"The request is not well-formed HTTP/1.1: {error}.") from error
        # The parser calls nothing while a header, a trailer or a chunk extension goes on and on.
        if self._bytes_since_progress > self._limits.header_bytes:
            raise self._too_large()

    def on_message_begin(self) -> None:
        """Called by httptools at the first byte of a request."""
        self._in_head = True
        self._url = b""
        self._headers = []
        self._trailers = 0
        try:
            self._connection.head_started()
        except PenstockError as error:
            self._error = error
            raise

    def on_url(self, url: bytes) -> None:
        """Called by httptools for a piece of the target."""
        self._url += url
        if len(self._url) > self._limits.header_bytes:
            self._error = self._too_large()
            raise self._error

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by httptools for a header and, after the head, for a trailer."""
        if self._in_head:
            self._headers.append((name.lower(), value.rstrip(b" \t")))
            return
        self._trailers += 1
        if len(self._headers) + self._trailers > self._limits.headers:
            self._error = self._too_large()
            raise self._error

    def on_headers_complete(self) -> None:
        """Called by httptools at the end of a head."""
        try:
            self._complete_head()
        except PenstockError as error:
            self._error = error
            raise

    def _complete_head(self) -> None:
        parser, limits = self._parser, self._limits
        assert parser is not None
        if len(self._headers) > limits.headers or (
            self._bytes_since_progress > limits.header_bytes and self._head_bytes() > limits.header_bytes
        ):
            raise self._too_large()
        version = parser.get_http_version()
        head = read_head(parser.get_method().decode(), version, self._url, self._headers, limits.body_bytes)
        self._connection.head_received(head, keep_alive=version == "1.1" and parser.should_keep_alive())
        self._in_head = False
        self._bytes_since_progress = 0

    def on_body(self, data: bytes) -> None:
        """Called by httptools for a piece of the body."""
        self._bytes_since_progress = 0
        try:
            self._connection.body_received(data)
        except PenstockError as error:
            self._error = error
            raise

    def on_message_complete(self) -> None:
        """Called by httptools at the end of a request."""
        self._bytes_since_progress = 0
        try:
            self._connection.request_complete()
        except PenstockError as error:
            self._error = error
            raise

    def _head_bytes(self) -> int:
        return len(self._url) + sum(len(name) + len(value) + 4 for name, value in self._headers)

    def _too_large(self) -> InvalidInput:
        limit = self._limits.header_bytes
        if len(self._url) > limit:
            return TargetTooLong(f"The target and the headers of a request may have at most {limit} bytes.")
        return HeadTooLarge(f"A request may have at most {self._limits.headers} headers with {limit} bytes in all.")
