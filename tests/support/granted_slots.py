"""A TCP proxy before the cache Redis that notes every slot that the counters grant to workers and do not take back.

What arrives at an app server tells the rate only on a machine that has time for it; the slots tell it on any machine.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from hashlib import sha1

import hiredis

from app.redis_wire.scripts import source
from tests.support.bounds import assert_slots_within_rate

CHUNK_BYTES = 65536
KEYS_AT = 3
GRANTED, NOW, SLOTS_AT = 0, 2, 3
TURN_HEADER, TURN_COUNTER, TURN_CHARGE = 7, 5, 2
EARLIEST_S = 0.002
"""How much before its slot a request may arrive: timers and two clocks of one machine agree to within this."""


def _sha(script: str) -> bytes:
    return sha1(source("app.limiter", script).encode(), usedforsecurity=False).hexdigest().encode()


ACQUIRE_SHA, ACQUIRE_TURNS_SHA, GIVE_BACK_SHA = _sha("acquire"), _sha("acquire_turns"), _sha("give_back_slot")


class GrantedSlots:
    """The slots of each counter in seconds of the machine's clock, in the order in which they were granted."""

    def __init__(self, port: int) -> None:
        self.url = ""
        self._of: dict[str, list[float]] = defaultdict(list)
        self._redis_port = port
        self._links: set[asyncio.Task[None]] = set()

    def of(self, descriptor: str) -> list[float]:
        """The slots of the only flow of this descriptor."""
        [slots] = [slots for key, slots in self._of.items() if f"|{descriptor}}}" in key]
        return slots

    async def serve(self) -> asyncio.Server:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        return server

    async def end(self) -> None:
        for link in self._links:
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)
        await asyncio.sleep(0)  # until the connections have been told

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.create_task(self._join(reader, writer))
        self._links.add(link)

        def over(_: asyncio.Task[None]) -> None:  # also of one that was cancelled before it began
            self._links.discard(link)
            writer.transport.abort()

        link.add_done_callback(over)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._redis_port)
        conversation = _Conversation(self._of)
        ways = [
            asyncio.create_task(_pass(reader, to_writer, conversation.request)),
            asyncio.create_task(_pass(to_reader, writer, conversation.reply)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            to_writer.transport.abort()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)


class _Conversation:
    """One connection: each reply belongs to the oldest request without one. Who subscribes is not listened to."""

    def __init__(self, slots: dict[str, list[float]]) -> None:
        self._slots = slots
        self._requests, self._replies = hiredis.Reader(), hiredis.Reader()
        self._waiting: deque[list[bytes]] = deque()
        self._subscribed = False

    def request(self, data: bytes) -> None:
        self._requests.feed(data)
        while (words := self._requests.gets()) is not False:
            self._subscribed |= words[0].upper() in {b"SUBSCRIBE", b"PSUBSCRIBE", b"SSUBSCRIBE"}
            self._waiting.append(words)

    def reply(self, data: bytes) -> None:
        if self._subscribed:
            return
        self._replies.feed(data)
        while (reply := self._replies.gets()) is not False:
            words = self._waiting.popleft()
            if words[0].upper() != b"EVALSHA":
                continue
            if words[1] == GIVE_BACK_SHA and isinstance(reply, int):
                self._forget(words, given_back=reply)
            elif not isinstance(reply, list):
                continue
            elif words[1] == ACQUIRE_SHA:
                waits_us = reply[SLOTS_AT : SLOTS_AT + reply[GRANTED]]
                self._slots[words[KEYS_AT].decode()] += [(reply[NOW] + wait_us) / 1e6 for wait_us in waits_us]
            elif words[1] == ACQUIRE_TURNS_SHA:
                self._note_turns(words, reply)

    def _forget(self, words: list[bytes], given_back: int) -> None:
        """Forget a slot that all of its counters took back: they grant it once more.

        Where only some did, nothing says which, and it was of those that kept it too.
        """
        keys = int(words[KEYS_AT - 1])
        if given_back < keys:
            return
        slot_s = int(words[KEYS_AT + keys]) / 1e6
        for key in words[KEYS_AT : KEYS_AT + keys]:
            noted = self._slots[key.decode()]
            if slot_s in noted:  # slots of several counters are noted for the first of them
                noted.remove(slot_s)

    def _note_turns(self, words: list[bytes], reply: list[int]) -> None:
        """Slots of several flows, noted for the first counter of each."""
        now, at = reply[0], 1
        keys = int(words[KEYS_AT - 1])
        arguments = words[KEYS_AT + keys :]
        turn_at = TURN_HEADER + TURN_COUNTER * int(arguments[TURN_HEADER - 1])
        while at < len(reply):
            granted, charges = reply[at], int(arguments[turn_at + 2])
            counter = words[KEYS_AT + int(arguments[turn_at + 3]) - 1].decode()
            self._slots[counter] += [(now + wait_us) / 1e6 for wait_us in reply[at + 2 : at + 2 + granted]]
            at += 2 + granted + charges
            turn_at += 3 + TURN_CHARGE * charges


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Callable[[bytes], None]) -> None:
    with suppress(OSError):
        while data := await reader.read(CHUNK_BYTES):
            seen(data)
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def recorded(cache_redis_url: str) -> AsyncIterator[GrantedSlots]:
    """Processes that are given the recorder's URL reach this Redis through it."""
    slots = GrantedSlots(int(cache_redis_url.rsplit(":", 1)[1].partition("/")[0]))
    server = await slots.serve()
    try:
        yield slots
    finally:
        server.close()
        await slots.end()


def assert_sent_at_slots(arrived_s: Sequence[float], slots_s: Sequence[float], rate_per_s: float, burst: float) -> None:
    """The slots are within the rate, and no request of the flow came before its slot.

    A slot that was missed was given up: there may be more slots than requests. That the number of arrivals never
    exceeds the number of slots so far says that each arrival had a slot of its own.
    """
    assert_slots_within_rate(slots_s, rate_per_s, burst)
    in_time = sorted(slots_s)
    assert len(arrived_s) <= len(in_time)
    for number, (arrival, slot) in enumerate(zip(sorted(arrived_s), in_time, strict=False)):
        assert arrival >= slot - EARLIEST_S, f"arrival {number} is {slot - arrival:.3f} s before its slot"
