"""Parses the requests of one connection with llhttp, and bounds the size of everything that is not a body."""

import httptools

from app.errors import HeadTooLarge, InvalidInput, MalformedRequest, PenstockError, TargetTooLong
from app.http1.server.head import FRAMING, Head, read_head
from app.http1.server.interface import ConnectionInterface
from app.http1.server.limits import ServerLimits
from app.http1.server.request_line import RequestLines
from app.web.headers import Headers


class RequestParser:
    """Tells a connection what it has received. Trailers are dropped: nothing in them could be trusted."""

    def __init__(self, connection: ConnectionInterface, limits: ServerLimits) -> None:
        self._parser: httptools.HttpRequestParser | None = self._new_parser()
        self._connection = connection
        self._limits = limits
        self._lines = RequestLines()
        self._in_head = False
        self._url = b""
        self._headers: Headers = []
        self._trailers = 0
        self._bytes_since_progress = 0
        self._unparsed_body: tuple[Head, bool] | None = None
        """The head of a request, and whether it keeps the connection alive, whose body llhttp takes for another
        protocol."""
        self._is_repeating = False
        self._error: PenstockError | None = None

    def close(self) -> None:
        """Break the reference cycle with llhttp's parser, so that the garbage collector need not find it."""
        self._parser = None

    def feed(self, data: bytes) -> None:
        """Parse these bytes. Raises MalformedRequest, HeadTooLarge, TargetTooLong, and what the connection raises."""
        self._lines.receive(data)
        rest = memoryview(data)  # what follows an upgrade is not copied: there may be thousands of them
        while True:
            assert self._parser is not None
            self._bytes_since_progress += len(rest)
            try:
                self._parser.feed_data(rest)
            except httptools.HttpParserUpgrade as paused:
                self._bytes_since_progress = 0
                self._ignore_upgrade()
                rest = rest[paused.args[0] :]
                continue
            except httptools.HttpParserCallbackError as error:
                # The context of llhttp's error is not reliable: compiled coroutines leave exceptions of theirs there.
                raise self._error or error from None
            except httptools.HttpParserError as error:
                raise MalformedRequest(f"The request is not well-formed HTTP/1.1: {error}.") from error
            break
        self._lines.received(in_head=self._in_head)
        # The parser calls nothing while a header, a trailer or a chunk extension goes on and on.
        if self._bytes_since_progress > self._limits.header_bytes:
            raise self._too_large()

    def _new_parser(self) -> httptools.HttpRequestParser:
        parser = httptools.HttpRequestParser(self)
        # Bytes after a request with `Connection: close` are ignored instead of being an error.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    def _ignore_upgrade(self) -> None:
        """Go on with HTTP/1.1 after a request that offers another protocol.

        llhttp parses no body behind such a head. So a new parser gets a head with the same framing and without the
        offer.
        """
        if self._unparsed_body is None:
            return
        (head, keep_alive), self._unparsed_body = self._unparsed_body, None
        lines = [b"%b: %b\r\n" % field for field in head.single.items() if field[0] in FRAMING]
        connection = b"" if keep_alive else b"Connection: close\r\n"
        self._parser = self._new_parser()
        self._is_repeating = True
        self._parser.feed_data(b"".join([b"POST / HTTP/1.1\r\nHost: x\r\n", connection, *lines, b"\r\n"]))
        self._is_repeating = False

    def on_message_begin(self) -> None:
        """Called by httptools at the first byte of a request."""
        if self._is_repeating:
            return
        self._lines.begin()
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
        if self._is_repeating:
            return
        self._url += url
        if len(self._url) > self._limits.header_bytes:
            self._error = self._too_large()
            raise self._error

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by httptools for a header and, after the head, for a trailer."""
        if self._in_head:
            self._headers.append((name.lower(), value.rstrip(b" \t")))
            return
        if self._is_repeating:
            return
        self._trailers += 1
        if len(self._headers) + self._trailers > self._limits.headers:
            self._error = self._too_large()
            raise self._error

    def on_headers_complete(self) -> None:
        """Called by httptools at the end of a head."""
        if self._is_repeating:
            return
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
        if not self._lines.names_http(self._url):
            raise MalformedRequest("Only HTTP is supported.")
        version = parser.get_http_version()
        head = read_head(parser.get_method().decode(), version, self._url, self._headers)
        keep_alive = version == "1.1" and parser.should_keep_alive()
        if head.has_body and parser.should_upgrade():
            self._unparsed_body = head, keep_alive
        self._connection.head_received(head, keep_alive=keep_alive)
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
        if self._unparsed_body is not None:
            return
        self._lines.end()
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
