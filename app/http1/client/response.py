"""Reads the responses of one connection, one after another: llhttp parses them, and this module is stricter still.

llhttp refuses bare CR or LF, folded lines, control characters in values, names that are not tokens, several
Content-Lengths, a Content-Length beside a Transfer-Encoding, and bad chunk sizes. It skips empty lines before a
response, which is harmless.
"""

import re
from http import HTTPStatus

from httptools import HttpParserError, HttpResponseParser

from app.http1.interim import OnInterim
from app.web.headers import Headers
from app.web.statuses import NO_CONTENT, WITHOUT_BODY

MAX_HEAD_BYTES = 65_536
"""The limit for a head, for trailers, and for anything else that is not a part of the body."""

MAX_INTERIM_RESPONSES = 16
"""So many 1xx responses may come before the final one."""

_PROTOCOL = b"HTTP/"
_VERSIONS = frozenset({"1.0", "1.1"})
_MAX_STATUS = 599  # RFC 9110, 15
_KEEP_ALIVE_TIMEOUT = re.compile(rb"(?:^|[,;\s])timeout\s*=\s*\"?(\d{1,6})", re.IGNORECASE)


class BadResponse(Exception):
    """What was received is not a response, or is ambiguous."""


NO_TRAILERS: Headers = []
"""The trailers of nearly all responses."""


class Response:
    """One response as it is received. `status` is 0 until the head of the final response has been received."""

    __slots__ = (
        "_chunks",
        "buffered_bytes",
        "complete",
        "headers",
        "keep_alive",
        "keep_alive_timeout_s",
        "status",
        "trailers",
    )

    def __init__(self) -> None:
        self.status = 0
        self.headers: Headers = []
        """The names are in lower case."""
        self.trailers = NO_TRAILERS
        """What came after the body; valid once the response is complete."""
        self.complete = False
        self.keep_alive = False
        """Whether the connection may carry another response; valid once this one is complete."""
        self.keep_alive_timeout_s: int | None = None
        """How long the server keeps the idle connection open, by its Keep-Alive header."""
        self.buffered_bytes = 0
        """How much of the body has been received and not read."""
        self._chunks: list[bytes] = []

    def feed_data(self, chunk: bytes) -> None:
        """Append a chunk of the body."""
        self._chunks.append(chunk)
        self.buffered_bytes += len(chunk)

    def read_nowait(self) -> bytes:
        """What has been received of the body since the last call; may be empty."""
        chunks = self._chunks
        if not chunks:
            return b""
        self._chunks, self.buffered_bytes = [], 0
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)


class ResponseReader:
    """Fills the Response that was expected last."""

    def __init__(self) -> None:
        self._response = Response()
        self._is_head_request = False
        self._on_interim: OnInterim | None = None
        self._ends_with_connection = False
        self._interim_count = 0
        self._bytes_since_progress = 0
        self._headers: Headers = []
        self._parser: HttpResponseParser | None = None
        self._start = b""
        """The first bytes of the response, until they show that it is HTTP."""
        self._is_http = False
        self._refusal: BadResponse | None = None
        """What a callback of the parser raised. The context of the parser's own error may be of something else."""

    def expect(self, *, is_head_request: bool, on_interim: OnInterim | None = None) -> Response:
        """Begin the next response. `is_head_request`: the method of its request is HEAD.

        `on_interim` is called with the status and the headers of each 1xx response before it, except for 100.
        """
        self._response = Response()
        self._is_head_request = is_head_request
        self._on_interim = on_interim
        self._ends_with_connection = False
        self._interim_count = self._bytes_since_progress = 0
        self._headers = []
        self._start, self._is_http = b"", False
        self._refusal = None
        if self._parser is None:
            self._parser = HttpResponseParser(self)
        return self._response

    @property
    def has_begun(self) -> bool:
        """Whether any byte of the expected response has come."""
        return self._response.status > 0 or self._bytes_since_progress > 0

    def feed(self, data: bytes) -> None:
        """Parse what has been received. Raises BadResponse."""
        response = self._response
        if response.complete or self._parser is None:
            response.keep_alive = False
            return
        self._bytes_since_progress += len(data)
        if not self._is_http:
            self._require_http(data)
        buffered_bytes = response.buffered_bytes
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            self._parser = None
            if not response.complete:
                raise BadResponse(str(self._refusal or error)) from error
            if not self._is_head_request:
                response.keep_alive = False
        if self._is_head_request and response.complete and not _is_single_head(data, self._bytes_since_progress):
            response.keep_alive = False
        if response.buffered_bytes != buffered_bytes:
            self._bytes_since_progress = 0
        elif self._bytes_since_progress > MAX_HEAD_BYTES and not response.complete:
            raise BadResponse("its head or its trailers are too large")

    def _require_http(self, data: bytes) -> None:
        """llhttp also takes RTSP and ICE, and does not tell. It skips empty lines."""
        start = (self._start + data).lstrip(b"\r\n") if self._start or data[:1] in b"\r\n" else data
        self._is_http = start.startswith(_PROTOCOL)
        if not self._is_http and not _PROTOCOL.startswith(start):
            raise BadResponse("its protocol is not HTTP")
        self._start = b"" if self._is_http else start

    def feed_eof(self) -> None:
        """The server has closed its side. Raises BadResponse if the response is incomplete."""
        response = self._response
        response.keep_alive = False
        if self._ends_with_connection:
            response.complete = True
        elif not response.complete:
            raise BadResponse("it ended early")

    def on_message_begin(self) -> None:
        """Called by httptools at the first byte of a response."""
        if self._response.complete:
            self._refusal = BadResponse("more than one response was received")
            raise self._refusal

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by httptools for a header and, after the body, for a trailer."""
        self._headers.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        """Called by httptools at the end of a head. Checks it, and determines where the body ends."""
        try:
            self._complete_head()
        except BadResponse as error:
            self._refusal = error
            raise

    def _complete_head(self) -> None:
        assert self._parser is not None
        status = self._parser.get_status_code()
        headers, self._headers = self._headers, []
        _require_small(headers, self._bytes_since_progress)
        version = self._parser.get_http_version()
        if version not in _VERSIONS or not 100 <= status <= _MAX_STATUS or status == 101:
            raise BadResponse(f"its version {version} or its status {status} is not allowed")
        if status < 200:
            self._interim_count += 1
            if self._interim_count > MAX_INTERIM_RESPONSES:
                raise BadResponse("too many interim responses were received")
            if self._on_interim is not None and status != HTTPStatus.CONTINUE:
                self._on_interim(status, headers)
            return
        response = self._response
        response.headers = headers
        is_framed = self._is_framed(headers, version)
        response.status = status
        if self._is_head_request:
            response.complete = True
            response.keep_alive = version == "1.1" and not _has_connection_close(headers)
            raise BadResponse("a response to HEAD has no body")  # httptools cannot tell llhttp so: this stops it
        if status in WITHOUT_BODY:
            response.keep_alive = status != NO_CONTENT or not is_framed or (b"content-length", b"0") in headers
        else:
            self._ends_with_connection = not is_framed
            response.keep_alive = is_framed

    def _is_framed(self, headers: Headers, version: str) -> bool:
        """Whether the body ends before the connection does."""
        is_chunked = has_length = False
        for name, value in headers:
            if name == b"content-length":
                has_length = True
            elif name == b"transfer-encoding":
                if is_chunked or version != "1.1" or value.lower() != b"chunked":
                    raise BadResponse("its transfer coding is not exactly one `chunked`")
                is_chunked = True
            elif name == b"keep-alive":
                match = _KEEP_ALIVE_TIMEOUT.search(value)
                self._response.keep_alive_timeout_s = int(match[1]) if match else None
        return is_chunked or has_length

    def on_body(self, chunk: bytes) -> None:
        """Called by httptools for a piece of the body."""
        self._response.feed_data(chunk)

    def on_message_complete(self) -> None:
        """Called by httptools at the end of a response; only a final one is complete then."""
        response = self._response
        if response.status:
            assert self._parser is not None
            response.complete = True
            response.keep_alive = response.keep_alive and self._parser.should_keep_alive()
            if self._headers:
                response.trailers = self._headers
        self._headers = []


def _require_small(headers: Headers, size_bound: int) -> None:
    if size_bound > MAX_HEAD_BYTES and sum(len(name) + len(value) + 4 for name, value in headers) > MAX_HEAD_BYTES:
        raise BadResponse("its head is too large")


def _has_connection_close(headers: Headers) -> bool:
    return any(name == b"connection" and b"close" in value.lower() for name, value in headers)


def _is_single_head(data: bytes, received_bytes: int) -> bool:
    """Whether nothing but one head was received; False if that is not easily told."""
    return received_bytes == len(data) and data.find(b"\r\n\r\n") == len(data) - 4
