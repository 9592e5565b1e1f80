"""One connection to Redis on a transport that records what is written: batches, order of replies, bounds."""

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
import uvloop
from redis.exceptions import NoScriptError, ResponseError

from app.errors import CountersUnavailable
from app.redis_wire import connection
from app.redis_wire.address import P, RedisAddress
from app.redis_wire.connection import MAX_PENDING, RedisConnection
from app.redis_wire.node import Node
from app.redis_wire.resp import command, error_from_reply
from tests.support.waiting import eventually


class RecordingTransport(asyncio.Transport):
    """Records every write, and whether the connection was aborted."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.aborted = False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def write(self, data: Any) -> None:  # noqa: ANN401
        self.writes.append(bytes(data))

    def abort(self) -> None:
        self.aborted = True


class Wire:
    def __init__(self, timeout_s: float = 30.0) -> None:
        self.lost: list[Exception] = []
        self.transport = RecordingTransport()
        self.connection = RedisConnection(timeout_s, CountersUnavailable, lambda _, reason: self.lost.append(reason))
        self.connection.connection_made(self.transport)

    def ask(self, *words: str) -> asyncio.Future[Any]:
        return self.connection.call(command(*(words or ("PING",))))


async def turns(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_all_calls_of_one_loop_iteration_are_sent_in_one_write() -> None:
    wire = Wire()

    async def caller(number: int) -> Any:  # noqa: ANN401
        return await wire.ask("ECHO", str(number))

    callers = [asyncio.create_task(caller(number)) for number in range(100)]
    await turns()
    assert wire.transport.writes == [b"".join(command("ECHO", str(number)) for number in range(100))]
    wire.connection.data_received(b"".join(b":%d\r\n" % number for number in range(100)))
    assert await asyncio.gather(*callers) == list(range(100))
    late = wire.ask("ECHO", "x")
    await turns()
    assert len(wire.transport.writes) == 2
    wire.connection.data_received(b":7\r\n")
    assert await late == 7


async def test_a_reply_is_the_same_wherever_it_is_split() -> None:
    raw = b"*4\r\n:1\r\n$4\r\nt\r\no\r\n*2\r\n$-1\r\n+ok\r\n$0\r\n\r\n:2\r\n"
    for at in range(1, len(raw)):
        wire = Wire()
        answers = [wire.ask(), wire.ask()]
        await turns()
        wire.connection.data_received(raw[:at])
        wire.connection.data_received(raw[at:])
        assert await asyncio.gather(*answers) == [[1, b"t\r\no", [None, b"ok"], b""], 2]
        wire.connection.close(ConnectionError("over"))


async def test_the_reply_to_a_cancelled_call_is_dropped() -> None:
    wire = Wire()
    first, second, third = (wire.ask("ECHO", name) for name in "abc")
    await turns()
    second.cancel()
    wire.connection.data_received(b"$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n")
    assert (await first, await third) == (b"a", b"c")


async def test_the_reply_to_a_call_that_timed_out_is_dropped() -> None:
    wire = Wire(timeout_s=0.02)
    slow = wire.ask("ECHO", "slow")
    with pytest.raises(CountersUnavailable, match="no reply in time"):
        await slow
    after = wire.ask("ECHO", "after")
    await turns()
    wire.connection.data_received(b"$4\r\nslow\r\n$5\r\nafter\r\n")
    assert await after == b"after"
    assert not wire.lost


def test_a_reply_that_arrived_while_the_event_loop_was_blocked_is_in_time() -> None:
    """On uvloop, which runs timers before it reads from sockets."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(be_too_busy_to_read())


class Busy(asyncio.Protocol):
    """Blocks the event loop, when it receives something, for longer than a call may take."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        self._meanwhile = meanwhile

    def data_received(self, data: bytes) -> None:
        self._meanwhile()
        time.sleep(0.2)


async def be_too_busy_to_read() -> None:
    loop = asyncio.get_running_loop()
    (ours, theirs), (busy, trigger) = socket.socketpair(), socket.socketpair()
    _, it = await loop.create_connection(lambda: RedisConnection(0.05, CountersUnavailable, lambda *_: None), sock=ours)
    answers: asyncio.Queue[asyncio.Future[Any]] = asyncio.Queue()

    def call_and_reply() -> None:
        answers.put_nowait(it.call(command("PING")))
        it._write()  # the time that the call may take begins here, and nothing comes between it and the reply
        theirs.send(b":1\r\n")

    other, _ = await loop.create_connection(lambda: Busy(call_and_reply), sock=busy)
    trigger.send(b"x")
    try:
        assert await (await answers.get()) == 1
    finally:
        it.close(ConnectionError("over"))
        other.abort()
        await turns()
        theirs.close()
        trigger.close()


async def test_a_reply_without_a_call_closes_the_connection() -> None:
    wire = Wire()
    answer = wire.ask()
    await turns()
    wire.connection.data_received(b"+PONG\r\n+PONG\r\n")
    assert await answer == b"PONG"
    assert wire.transport.aborted
    assert len(wire.lost) == 1


async def test_bytes_that_are_not_a_reply_close_the_connection() -> None:
    wire = Wire()
    answer = wire.ask()
    await turns()
    wire.connection.data_received(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(CountersUnavailable):
        await answer
    assert wire.transport.aborted


async def test_sent_and_unsent_calls_fail_when_the_connection_is_lost() -> None:
    wire = Wire()
    sent = wire.ask()
    await turns()
    unsent = wire.ask()
    wire.connection.connection_lost(ConnectionResetError("reset"))
    for answer in (sent, unsent):
        with pytest.raises(CountersUnavailable, match="reset"):
            await answer
    await turns()
    assert len(wire.transport.writes) == 1, "nothing is written to a closed connection"
    assert len(wire.lost) == 1


async def test_the_number_of_pending_calls_is_bounded() -> None:
    wire = Wire()
    answers = [wire.ask() for _ in range(MAX_PENDING)]
    with pytest.raises(CountersUnavailable, match="too many"):
        wire.ask()
    await turns()
    for answer in answers:  # a cancelled call counts until its reply has arrived
        answer.cancel()
    with pytest.raises(CountersUnavailable, match="too many"):
        wire.ask()
    wire.connection.data_received(b"+PONG\r\n" * MAX_PENDING)
    wire.ask()


async def test_calls_are_refused_while_redis_does_not_read() -> None:
    wire = Wire()
    wire.connection.pause_writing()
    with pytest.raises(CountersUnavailable, match="too many"):
        wire.ask()
    wire.connection.resume_writing()
    wire.ask()


async def test_nothing_is_kept_of_calls_that_have_been_answered() -> None:
    wire = Wire()
    for _ in range(1000):
        answer = wire.ask()
        await turns(2)
        wire.connection.data_received(b":1\r\n")
        assert await answer == 1
    held = (wire.connection._pending, wire.connection._batches, wire.connection._overdue)
    assert [len(queue) for queue in held] == [0, 0, 0]


async def test_after_timeouts_in_a_row_only_a_probe_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "PROBE_INTERVAL_S", 3600.0)
    it = Wire(timeout_s=0.01)
    for _ in range(connection.FAILURES_TO_OPEN):
        with pytest.raises(CountersUnavailable, match="no reply in time"):
            await it.ask()
    probe = it.ask()
    with pytest.raises(CountersUnavailable, match="does not respond"):
        it.ask()
    await turns()
    it.connection.data_received(b":0\r\n" * connection.FAILURES_TO_OPEN)
    with pytest.raises(CountersUnavailable, match="does not respond"):
        it.ask()  # late replies do not close the circuit breaker
    it.connection.data_received(b":1\r\n")
    assert await probe == 1
    it.ask()


async def test_a_connection_without_replies_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "SILENCE_S", 1.0)
    it = Wire(timeout_s=0.01)
    with pytest.raises(CountersUnavailable):
        await it.ask()
    assert not it.transport.aborted
    await eventually(lambda: it.transport.aborted, 30, "the connection is closed")
    assert len(it.lost) == 1


async def test_a_long_reply_that_is_arriving_is_waited_for() -> None:
    it = Wire(timeout_s=0.2)
    answer = it.ask()
    it.connection.data_received(b"")
    await turns()
    it.connection.data_received(b"$200\r\n")
    for _ in range(20):
        await asyncio.sleep(0.03)
        it.connection.data_received(b"x" * 10)
    it.connection.data_received(b"\r\n")
    assert await answer == b"x" * 200


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("NOSCRIPT No matching script.", NoScriptError),
        ("OOM command not allowed when used memory > 'maxmemory'.", CountersUnavailable),
        ("ERR Error running script: -OOM command not allowed", CountersUnavailable),
        ("LOADING Redis is loading the dataset in memory", CountersUnavailable),
        ("BUSY Redis is busy running a script.", CountersUnavailable),
        ("BUSYGROUP Consumer Group name already exists", ResponseError),
        ("READONLY You can't write against a read only replica.", CountersUnavailable),
        ("NOPERM this user has no permissions", CountersUnavailable),
        ("NOGROUP No such key", ResponseError),
        ("ERR unknown command", ResponseError),
    ],
)
async def test_error_replies_become_exceptions_that_tell_callers_what_to_do(text: str, kind: type[Exception]) -> None:
    assert type(error_from_reply(CountersUnavailable, text)) is kind
    it = Wire()
    answer, after = it.ask(), it.ask()
    await turns()
    it.connection.data_received(b"-" + text.encode() + b"\r\n:1\r\n")
    with pytest.raises(kind):
        await answer
    assert await after == 1


class PongTransport(RecordingTransport):
    """Replies to every PING; with `leaves`, the connection is lost right afterwards."""

    def __init__(self, *, leaves: bool) -> None:
        super().__init__()
        self.protocol: asyncio.Protocol | None = None
        self._leaves = leaves

    def write(self, data: Any) -> None:  # noqa: ANN401
        assert self.protocol is not None
        if self.aborted:
            return
        loop = asyncio.get_running_loop()
        loop.call_soon(self.protocol.data_received, b"+PONG\r\n" * bytes(data).count(b"PING"))
        if self._leaves:
            loop.call_soon(self.protocol.connection_lost, None)


class ClosingAddress(RedisAddress):
    """An address whose first connections are lost right after they have replied to the greeting."""

    left = 3

    async def connect(self, factory: Callable[[], P]) -> P:
        transport, protocol = PongTransport(leaves=self.left > 0), factory()
        type(self).left -= 1
        transport.protocol = protocol
        protocol.connection_made(transport)
        return protocol


async def test_a_connection_that_is_lost_after_its_greeting_is_not_used() -> None:
    node = Node(ClosingAddress("nowhere", 0, None, None, (command("PING"),)), 1.0, CountersUnavailable)
    answered = None
    for _ in range(100):
        try:
            answered = await asyncio.wait_for(node.call(command("PING")), 5)
            break
        except CountersUnavailable:
            await asyncio.sleep(0.05)
    assert answered == b"PONG"
    await node.aclose()
