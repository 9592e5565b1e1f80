"""Tells which protocol a request line names: llhttp takes RTSP/1.0 and ICE/1.0 too, and does not tell them apart."""

import re

_VERSION_BYTES = len(b"HTTP/1.1")
_OTHER_PROTOCOL = re.compile(rb" (?:RTSP|ICE)/")


class RequestLines:
    """The bytes in which the line of the current request stands, as the parser receives them."""

    __slots__ = ("_at_start", "_data", "_earlier", "_is_first", "_is_within", "_other_targets")

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
        self._other_targets: set[bytes] | None = None
        """What stands before the name of another protocol in this data; None until somebody asks."""

    def receive(self, data: bytes) -> None:
        """These bytes are about to be parsed."""
        self._data = data
        self._other_targets = None
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
        if self._earlier:
            earlier, self._earlier = self._earlier, []
            return url not in _other_targets(b"".join([*earlier, data]))
        if self._other_targets is None:  # once for all requests in this data, which may be thousands
            self._other_targets = _other_targets(data)
        return url not in self._other_targets


def _other_targets(data: bytes) -> set[bytes]:
    """The words before the names of other protocols, in one pass over the data."""
    targets = set()
    begin = 0
    for found in _OTHER_PROTOCOL.finditer(data):
        before = data[begin : found.start()].rstrip(b" ")
        targets.add(before[before.rfind(b" ") + 1 :])
        begin = found.start()
    return targets
