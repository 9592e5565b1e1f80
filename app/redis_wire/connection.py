"""One connection to a Redis server, shared by all callers of a process.

The calls of one iteration of the event loop are sent in one write. Replies have no ids: they belong to calls by their
order. A call that was cancelled or timed out therefore keeps its place, and its reply is dropped when it arrives.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice
from time import monotonic
from typing import Any, cast

from hiredis import ProtocolError, Reader

from app.errors import Unavailable
from app.redis_wire.resp import error_from_reply

MAX_PENDING = 10_000
MAX_UNSENT_BYTES = 64 << 20

FAILURES_TO_OPEN = 3
"""So many timeouts in a row open the circuit breaker."""
PROBE_INTERVAL_S = 0.1
"""How often a call is let through while the circuit breaker is open."""

SILENCE_S = 1.0
"""A connection is closed when a call is still unanswered so long after its deadline."""

_READ_FIRST_S = 0.001
_INCOMPLETE = object()
_TOO_MANY_CALLS = "Redis: too many calls wait for a reply."

FutureReply = asyncio.Future[Any]


class RedisConnection(asyncio.Protocol):
    """A connection with a circuit breaker; `on_lost` is called once, when it has ended.

    After some timeouts in a row, only one call in each interval is sent, as a probe. The others fail at once, so that
    they do not pile up in front of a server that hangs. Calls fail with `unavailable`, or with redis-py's ResponseError
    if Redis rejects them.
    """

    def __init__(
        self,
        timeout_s: float,
        unavailable: type[Unavailable],
        on_lost: Callable[["RedisConnection", Exception], None],
    ) -> None:
        self.timeout_s = timeout_s
        self._unavailable = unavailable
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._reader = Reader(replyError=partial(error_from_reply, unavailable), notEnoughData=_INCOMPLETE)
        self._commands: list[bytes] = []
        self._unsent: list[FutureReply] = []
        self._pending: deque[FutureReply] = deque()
        # Batches as (deadline, number of calls sent up to and including the batch): those whose deadline is ahead, and
        # those that have timed out and are still unanswered.
        self._batches: deque[tuple[float, int]] = deque()
        self._overdue: deque[tuple[float, int]] = deque()
        self._sent_count = self._answered_count = 0
        self._received_at = self._reply_completed_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._timeouts = 0
        self._probe_at = 0.0
        self._refusal = ""
        self._is_closed = False

    def call(self, command: bytes) -> FutureReply:
        """Send a command, and return a future for its reply. Raises `unavailable` if none could arrive in time."""
        if self._timeouts >= FAILURES_TO_OPEN:
            self._require_probe()
        if self._refusal:
            raise self._unavailable(self._refusal)
        if len(self._pending) + len(self._unsent) >= MAX_PENDING:
            raise self._unavailable(_TOO_MANY_CALLS, "overloaded")
        reply: FutureReply = self._loop.create_future()
        self.send(command, reply)
        return reply

    def send(self, command: bytes, reply: FutureReply) -> None:
        """Send a command whose caller already waits for this future."""
        if not self._unsent:
            self._loop.call_soon(self._write)
        self._commands.append(command)
        self._unsent.append(reply)

    @property
    def is_closed(self) -> bool:
        """Whether the connection has ended."""
        return self._is_closed

    def close(self, reason: Exception) -> None:
        """End the connection; all calls that wait fail with `unavailable` because of `reason`."""
        if self._is_closed:
            return
        self._is_closed = True
        self._refusal = "Redis: the connection is closed."
        self._transport.abort()
        if self._timer is not None:
            self._timer.cancel()
        waiting = [*self._pending, *self._unsent]
        self._pending.clear()
        self._commands, self._unsent = [], []
        self._fail(waiting, str(reason))
        self._on_lost(self, reason)

    # Called by asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio when the connection is open."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(MAX_UNSENT_BYTES)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio when the connection is closed."""
        self.close(exc or ConnectionError("The connection was closed."))

    def pause_writing(self) -> None:
        """Called by asyncio when too much is buffered because Redis does not read it."""
        self._refusal = _TOO_MANY_CALLS

    def resume_writing(self) -> None:
        """Called by asyncio when Redis has read most of what was buffered."""
        if not self._is_closed:
            self._refusal = ""

    def data_received(self, data: bytes) -> None:
        """Called by asyncio when bytes have been received: resolves the futures of all complete replies."""
        reader, pending, answered_count = self._reader, self._pending, self._answered_count
        reader.feed(data)
        try:
            while (reply := reader.gets()) is not _INCOMPLETE:
                self._answered_count += 1
                future = pending.popleft()
                if future.done():
                    continue
                self._timeouts = 0
                if isinstance(reply, Exception):
                    future.set_exception(reply)
                else:
                    future.set_result(reply)
        except ProtocolError as error:
            self.close(error)
        except IndexError:  # no call is pending, so replies can no longer be matched to calls
            self.close(ConnectionError("A reply arrived without a call."))
        self._received_at = monotonic()
        if self._answered_count != answered_count:
            self._reply_completed_at = self._received_at
            for batches in (self._batches, self._overdue):
                while batches and batches[0][1] <= self._answered_count:
                    batches.popleft()

    def _write(self) -> None:
        if not self._unsent:
            return  # the connection has been closed in the meantime
        commands, self._commands = self._commands, []
        replies, self._unsent = self._unsent, []
        self._pending.extend(replies)
        self._sent_count += len(replies)
        deadline = monotonic() + self.timeout_s  # loop.time() does not advance during an iteration of uvloop
        self._batches.append((deadline, self._sent_count))
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._read_before_timeout)
        try:
            self._transport.write(commands[0] if len(commands) == 1 else b"".join(commands))
        except RuntimeError as error:  # raised by uvloop if Redis has just closed the connection
            self.close(ConnectionError(str(error)))

    def _read_before_timeout(self) -> None:
        # The event loop may have been blocked until now: let it read first what has arrived in the meantime.
        self._timer = self._loop.call_later(_READ_FIRST_S, self._fail_overdue, monotonic() + _READ_FIRST_S)

    def _fail_overdue(self, until: float) -> None:
        """Fail the calls whose deadline was before `until`. One timer serves all calls of the connection."""
        self._timer = None
        now = monotonic()
        if self._is_receiving_long_reply(now):
            self._timer = self._loop.call_at(self._received_at + self.timeout_s, self._read_before_timeout)
            return
        while self._batches and self._batches[0][0] <= until:
            batch = self._batches.popleft()
            first = self._overdue[-1][1] if self._overdue else self._answered_count
            self._overdue.append(batch)
            self._timeouts += 1
            start, stop = first - self._answered_count, batch[1] - self._answered_count
            self._fail(islice(self._pending, start, stop), "no reply in time", "timeout")
        if self._overdue and now - self._overdue[0][0] >= SILENCE_S:
            self.close(TimeoutError("Redis does not respond."))
        elif self._batches or self._overdue:
            # Calls that are made from now on have later deadlines than this.
            check_at = self._batches[0][0] if self._batches else now + self.timeout_s
            self._timer = self._loop.call_at(check_at, self._read_before_timeout)

    def _is_receiving_long_reply(self, now: float) -> bool:
        """Whether a large reply is arriving. It delays the ones behind it, but shows that Redis works on the calls."""
        duration_s = self._received_at - self._reply_completed_at
        return self._reader.has_data() and duration_s > self.timeout_s / 2 and now - self._received_at < self.timeout_s

    def _require_probe(self) -> None:
        now = monotonic()
        if now < self._probe_at:
            raise self._unavailable("Redis does not respond.", "timeout")
        self._probe_at = now + PROBE_INTERVAL_S

    def _fail(self, replies: Iterable[FutureReply], why: str, cause: str = "unreachable") -> None:
        for reply in replies:
            if not reply.done():
                reply.set_exception(self._unavailable(f"Redis: {why}", cause))
