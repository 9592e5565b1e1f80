"""One connection to a Redis, shared by all calls of a process.

Calls that become ready in one turn of the event loop leave in one write; answers belong to calls by their order alone.
A call that was cancelled or timed out stays in that order as a hole: its answer is thrown away, and no one else's.
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
from app.redis_wire.resp import error_of

MAX_PENDING = 10_000
MAX_UNSENT_BYTES = 64 << 20

FAILURES_TO_OPEN = 3
PROBE_EVERY_S = 0.1

SILENCE_S = 1.0
"""So much longer than its deadline a call may stay unanswered before the connection is given up."""

_READ_FIRST_S = 0.001
_NOTHING_YET = object()
_TOO_MUCH = "Redis: too many calls wait for an answer."

Answer = asyncio.Future[Any]


class RedisConnection(asyncio.Protocol):
    """From `connection_made` to the one call of `lost`. All errors are `unavailable`, but for what a script rejects.

    A circuit breaker stands before it: after a few time-outs in a row only one call in a while is a probe, the others
    are refused at once, so that they do not queue before a Redis that hangs.
    """

    def __init__(
        self,
        timeout_s: float,
        unavailable: type[Unavailable],
        lost: Callable[["RedisConnection", Exception], None],
    ) -> None:
        self.timeout_s = timeout_s
        self._unavailable = unavailable
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._reader = Reader(replyError=partial(error_of, unavailable), notEnoughData=_NOTHING_YET)
        self._commands: list[bytes] = []
        self._unsent: list[Answer] = []
        self._pending: deque[Answer] = deque()
        # Batches as (deadline, how many calls were sent with it and before): those that may come in time, and those
        # that timed out and are still unanswered.
        self._batches: deque[tuple[float, int]] = deque()
        self._late: deque[tuple[float, int]] = deque()
        self._sent = self._answered = 0
        self._heard_at = self._completed_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._time_outs = 0
        self._probe_at = 0.0
        self._refusal = ""
        self._over = False

    def call(self, command: bytes) -> Answer:
        """Send a command; its answer to come. Raises `unavailable` where there is no use in waiting."""
        if self._time_outs >= FAILURES_TO_OPEN:
            self._require_probe()
        if self._refusal:
            raise self._unavailable(self._refusal)
        if len(self._pending) + len(self._unsent) >= MAX_PENDING:
            raise self._unavailable(_TOO_MUCH)
        answer: Answer = self._loop.create_future()
        self.send(command, answer)
        return answer

    def send(self, command: bytes, answer: Answer) -> None:
        """As `call`, for one who waits already."""
        if not self._unsent:
            self._loop.call_soon(self._write)
        self._commands.append(command)
        self._unsent.append(answer)

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self._over

    def close(self, reason: Exception) -> None:
        """End it now; whoever waits is told `reason`."""
        if self._over:
            return
        self._over = True
        self._refusal = "Redis: the connection is over."
        self._transport.abort()
        if self._timer is not None:
            self._timer.cancel()
        waiting = [*self._pending, *self._unsent]
        self._pending.clear()
        self._commands, self._unsent = [], []
        self._fail(waiting, str(reason))
        self._lost(self, reason)

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # noqa: D102
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(MAX_UNSENT_BYTES)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: D102
        self.close(exc or ConnectionError("The connection was closed."))

    def pause_writing(self) -> None:  # noqa: D102
        self._refusal = _TOO_MUCH

    def resume_writing(self) -> None:  # noqa: D102
        if not self._over:
            self._refusal = ""

    def data_received(self, data: bytes) -> None:  # noqa: D102
        reader, pending, answered = self._reader, self._pending, self._answered
        reader.feed(data)
        try:
            while (answer := reader.gets()) is not _NOTHING_YET:
                self._answered += 1
                future = pending.popleft()
                if future.done():
                    continue
                self._time_outs = 0
                if isinstance(answer, Exception):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)
        except ProtocolError as error:
            self.close(error)
        except IndexError:  # nothing is pending: whose answers the next ones are can't be told any more
            self.close(ConnectionError("An answer came that nobody asked for."))
        self._heard_at = monotonic()
        if self._answered != answered:
            self._completed_at = self._heard_at
            for batches in (self._batches, self._late):
                while batches and batches[0][1] <= self._answered:
                    batches.popleft()

    def _write(self) -> None:
        if not self._unsent:
            return  # it was closed meanwhile
        commands, self._commands = self._commands, []
        answers, self._unsent = self._unsent, []
        self._pending.extend(answers)
        self._sent += len(answers)
        deadline = monotonic() + self.timeout_s  # the event loop's own time stands still during a turn
        self._batches.append((deadline, self._sent))
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._look)
        try:
            self._transport.write(commands[0] if len(commands) == 1 else b"".join(commands))
        except RuntimeError as error:  # uvloop's, where the other side has just closed it
            self.close(ConnectionError(str(error)))

    def _look(self) -> None:
        # The event loop may have stood still until now: what has come meanwhile is read first.
        self._timer = self._loop.call_later(_READ_FIRST_S, self._time_out, monotonic() + _READ_FIRST_S)

    def _time_out(self, until: float) -> None:
        """The calls whose deadline has passed; one timer serves all of a connection's calls."""
        self._timer = None
        now = monotonic()
        if self._is_in_a_long_answer(now):
            self._timer = self._loop.call_at(self._heard_at + self.timeout_s, self._look)
            return
        while self._batches and self._batches[0][0] <= until:
            batch = self._batches.popleft()
            first = self._late[-1][1] if self._late else self._answered
            self._late.append(batch)
            self._time_outs += 1
            self._fail(islice(self._pending, first - self._answered, batch[1] - self._answered), "no answer in time")
        if self._late and now - self._late[0][0] >= SILENCE_S:
            self.close(TimeoutError("Redis does not answer."))
        elif self._batches or self._late:
            # No call that is made from now on has an earlier deadline than this.
            self._timer = self._loop.call_at(self._batches[0][0] if self._batches else now + self.timeout_s, self._look)

    def _is_in_a_long_answer(self, now: float) -> bool:
        """Then that one holds up all others, and is no silence: what it is part of has been done already."""
        lasts_s = self._heard_at - self._completed_at
        return self._reader.has_data() and lasts_s > self.timeout_s / 2 and now - self._heard_at < self.timeout_s

    def _require_probe(self) -> None:
        now = monotonic()
        if now < self._probe_at:
            raise self._unavailable("Redis does not answer.")
        self._probe_at = now + PROBE_EVERY_S

    def _fail(self, answers: Iterable[Answer], why: str) -> None:
        for answer in answers:
            if not answer.done():
                answer.set_exception(self._unavailable(f"Redis: {why}"))
