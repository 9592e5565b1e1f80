"""The responses of one connection, one after another: llhttp reads them, and what it lets pass is refused here.

Left to the parser: bare CR or LF, folded lines, control characters in values, names that are no tokens, more than one
length, a length beside a coding, bad chunk sizes. It skips empty lines before a response, which change nothing.
"""

import re

from httptools import HttpParserError, HttpResponseParser

from app.web.headers import Headers
from app.web.statuses import NO_CONTENT, WITHOUT_BODY

MAX_HEAD_BYTES = 65_536
"""Of a head, of trailers, or of anything else that brings the body no further."""

MAX_INTERIM = 16
_VERSIONS = frozenset({"1.0", "1.1"})
_LAST_STATUS = 599  # RFC 9110, 15
_KEEP_ALIVE_TIMEOUT = re.compile(rb"(?:^|[,;\s])timeout\s*=\s*\"?(\d{1,6})", re.IGNORECASE)


class BadResponse(Exception):
    """What came is no response, or could be read in more than one way."""


class Response:
    """One response as it arrives. `status` is 0 until the head of the final one has come."""

    __slots__ = ("_body", "clean", "complete", "headers", "kept_for_s", "size", "status")

    def __init__(self) -> None:
        self.status = 0
        self.headers: Headers = []
        """Names in lower case."""
        self.complete = False
        self.clean = False
        """Once complete: whether the connection may carry another."""
        self.kept_for_s: int | None = None
        """For how long the server says that it keeps the connection."""
        self.size = 0
        """Bytes of the body that are here and not yet taken."""
        self._body: list[bytes] = []

    def add(self, chunk: bytes) -> None:
        """More of the body."""
        self._body.append(chunk)
        self.size += len(chunk)

    def take(self) -> bytes:
        """What of the body is here."""
        body = self._body
        if not body:
            return b""
        self._body, self.size = [], 0
        return body[0] if len(body) == 1 else b"".join(body)


class ResponseReader:
    """Fills the Response that was last expected; the methods `on_...` are the parser's to call."""

    def __init__(self) -> None:
        self._response = Response()
        self._to_head = False
        self._until_end = False
        self._interim = 0
        self._idle_bytes = 0
        self._fields: Headers = []
        self._parser: HttpResponseParser | None = None

    def expect(self, *, to_head: bool) -> Response:
        """Begin with the next response. `to_head`: the request's method is HEAD."""
        self._response = Response()
        self._to_head = to_head
        self._until_end = False
        self._interim = self._idle_bytes = 0
        self._fields = []
        if self._parser is None:
            self._parser = HttpResponseParser(self)
        return self._response

    def feed(self, data: bytes) -> None:
        """Read what has come. Raises BadResponse."""
        response = self._response
        if response.complete or self._parser is None:
            response.clean = False
            return
        self._idle_bytes += len(data)
        size = response.size
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            self._parser = None
            if not response.complete:
                raise BadResponse(str(error.__context__ or error)) from error
            if not self._to_head:
                response.clean = False
        if self._to_head and response.complete and not _one_head(data, self._idle_bytes):
            response.clean = False
        if response.size != size:
            self._idle_bytes = 0
        elif self._idle_bytes > MAX_HEAD_BYTES and not response.complete:
            raise BadResponse("its head or its trailers are too large")

    def end(self) -> None:
        """The server sends no more. Raises BadResponse where it should have."""
        response = self._response
        response.clean = False
        if self._until_end:
            response.complete = True
        elif not response.complete:
            raise BadResponse("it ended early")

    def on_message_begin(self) -> None:
        """A response, or what follows one."""
        if self._response.complete:
            raise BadResponse("more than one response came")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of a head, or a trailer, which goes no further."""
        self._fields.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        """Check the head, and decide where the body ends."""
        assert self._parser is not None
        status = self._parser.get_status_code()
        fields, self._fields = self._fields, []
        _require_small(fields, self._idle_bytes)
        version = self._parser.get_http_version()
        if version not in _VERSIONS or not 100 <= status <= _LAST_STATUS or status == 101:
            raise BadResponse(f"its version {version} or its status {status} is none that was asked for")
        if status < 200:
            self._interim += 1
            if self._interim > MAX_INTERIM:
                raise BadResponse("too many interim responses came")
            return
        response = self._response
        response.headers = fields
        framed = self._framed(fields, version)
        response.status = status
        if self._to_head:
            response.complete = True
            response.clean = version == "1.1" and not _says_close(fields)
            raise BadResponse("a response to HEAD ends here")  # the parser can't be told otherwise
        if status in WITHOUT_BODY:
            response.clean = status != NO_CONTENT or not framed or (b"content-length", b"0") in fields
        else:
            self._until_end = not framed
            response.clean = framed

    def _framed(self, fields: Headers, version: str) -> bool:
        """Whether the head says where the body ends."""
        coded = sized = False
        for name, value in fields:
            if name == b"content-length":
                sized = True
            elif name == b"transfer-encoding":
                if coded or version != "1.1" or value.lower() != b"chunked":
                    raise BadResponse("its transfer coding is not chunked, once")
                coded = True
            elif name == b"keep-alive":
                found = _KEEP_ALIVE_TIMEOUT.search(value)
                self._response.kept_for_s = int(found[1]) if found else None
        return coded or sized

    def on_body(self, chunk: bytes) -> None:
        """More of the body."""
        self._response.add(chunk)

    def on_message_complete(self) -> None:
        """The end, but of an interim response."""
        response = self._response
        if response.status:
            assert self._parser is not None
            response.complete = True
            response.clean = response.clean and self._parser.should_keep_alive()
        self._fields = []


def _require_small(fields: Headers, at_most_bytes: int) -> None:
    if at_most_bytes > MAX_HEAD_BYTES and sum(len(name) + len(value) + 4 for name, value in fields) > MAX_HEAD_BYTES:
        raise BadResponse("its head is too large")


def _says_close(fields: Headers) -> bool:
    return any(name == b"connection" and b"close" in value.lower() for name, value in fields)


def _one_head(data: bytes, since_begin: int) -> bool:
    """Whether all that came is one head, as far as is easily told."""
    return since_begin == len(data) and data.find(b"\r\n\r\n") == len(data) - 4
