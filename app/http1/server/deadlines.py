"""When a client takes too long to send a request or to receive a response. Pure: the caller passes the time."""

import math

from app.http1.server.limits import ServerLimits

LINGER_S = 2.0
"""How long input is discarded after the last response; closing earlier could reset the connection and destroy it."""


class Deadlines:
    """The deadlines of one connection, in seconds of the event loop's clock; infinite while none is set.

    Bodies and responses may take any time as long as they make progress: in every window of `stall_s` seconds at least
    `bytes_per_s * stall_s` bytes must be transferred.
    """

    __slots__ = ("_limits", "_read_at", "_taken_bytes", "_window_bytes", "_write_at", "_written_bytes")

    def __init__(self, limits: ServerLimits) -> None:
        self._limits = limits
        self._read_at = self._write_at = math.inf
        self._window_bytes = self._written_bytes = self._taken_bytes = 0

    def expect_head(self, now: float) -> None:
        """The head of a request must be complete in time."""
        self._read_at = now + self._limits.header_s

    def expect_body(self, now: float) -> None:
        """A new window begins in which the body must make progress."""
        self._window_bytes = 0
        self._read_at = now + self._limits.stall_s

    def expect_request(self, now: float) -> None:
        """The next request must begin before the connection has been idle for too long."""
        self._read_at = now + self._limits.keep_alive_s

    def expect_close(self, now: float) -> None:
        """The client must close the connection in time."""
        self._read_at = now + LINGER_S

    def expect_nothing(self) -> None:
        """The client need not send anything."""
        self._read_at = math.inf

    def body_received(self, size: int) -> None:
        """Count bytes of a body."""
        self._window_bytes += size

    def written(self, size: int) -> None:
        """Count bytes of responses."""
        self._written_bytes += size

    @property
    def body_progresses(self) -> bool:
        """Whether enough of the body has been received in this window."""
        return self._window_bytes >= self._min_window_bytes

    def is_read_overdue(self, now: float) -> bool:
        """Whether the client has not sent in time what was expected."""
        return now >= self._read_at

    def is_write_stalled(self, now: float, unsent_bytes: int) -> bool:
        """Whether the client has received too little in the last window. To be called regularly."""
        if not unsent_bytes:
            self._write_at = math.inf
            return False
        taken_bytes = self._written_bytes - unsent_bytes
        is_due = now >= self._write_at
        if is_due and taken_bytes - self._taken_bytes < self._min_window_bytes:
            return True
        if is_due or self._write_at == math.inf:
            self._taken_bytes, self._write_at = taken_bytes, now + self._limits.stall_s
        return False

    @property
    def _min_window_bytes(self) -> float:
        return max(1.0, self._limits.bytes_per_s * self._limits.stall_s)
