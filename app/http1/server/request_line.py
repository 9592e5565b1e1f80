"""Tells which protocol a request line names: llhttp takes RTSP/1.0 and ICE/1.0 too, and does not tell them apart."""

import re

_VERSION_BYTES = len(b"HTTP/1.1")


class RequestLines:
    """The bytes in which the line of the current request stands, as the parser receives them."""

    __slots__ = ("_at_start", "_data", "_earlier", "_is_first", "_is_within")

    def __init__(self) -> None:
        self._data = b""
        self._earlier: list[bytes] = []
        """The data before this, if the head began there."""
        self._is_within = False
        """Whether a request has begun and not ended."""
        self._is_first = True
        """Whether no request has begun in this data, and none was going on before it."""
        self._at_start = False
        """Whether the current request begins where the data does."""

    def receive(self, data: bytes) -> None:
        """These bytes are about to be parsed."""
        self._data = data
        self._is_first = not self._is_within

    def received(self, *, in_head: bool) -> None:
        """The bytes have been parsed; `in_head`: they end within a head, which is kept until it is complete."""
        if in_head:
            self._earlier.append(self._data)
        self._data = b""

    def begin(self) -> None:
        """A request begins."""
        self._is_within = True
        self._at_start, self._is_first = self._is_first, False
        self._earlier = []

    def end(self) -> None:
        """The request is complete."""
        self._is_within = False

    def names_http(self, url: bytes) -> bool:
        """Whether the line of the request with this target names HTTP. To be called when its head is complete."""
        data = self._data
        if self._at_start and not self._earlier:
            # llhttp allows nothing between the version and the end of the line.
            end = data.find(b"\r\n")
            if end >= _VERSION_BYTES:
                return data.startswith(b"HTTP/", end - _VERSION_BYTES)
        # Where the line begins is not known. What looks like it in another place of these bytes is taken for it.
        raw = b"".join([*self._earlier, data])
        self._earlier = []
        return re.search(re.escape(url) + rb" +(?:RTSP|ICE)/", raw) is None
