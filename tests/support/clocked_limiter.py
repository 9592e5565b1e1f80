"""Live decisions by the limiter's scripts, under a clock that the test sets."""

from collections.abc import Sequence

import redis

from app.limiter.policy import Charge, Verdict
from app.limiter.script_calls import (
    LEFT_TO_ACQUIRE,
    AcquireOptions,
    acquire_call,
    acquire_reply,
    decide_call,
    decide_reply,
)
from app.redis_wire.scripts import Script, source
from tests.support.script_clock import with_clock

SECOND_US = 1_000_000


class ClockedLimiter:
    """Decides as an edge does: by decide.lua, and by acquire.lua where that leaves the decision to it."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        texts = {name: with_clock(source("app.limiter", name)) for name in ("decide", "acquire")}
        for text in texts.values():
            client.script_load(text)
        self._scripts = {name: Script(text) for name, text in texts.items()}

    def decide(self, charges: Sequence[Charge], now_us: int) -> Verdict:
        """Decide at this time. Redis's own clock is not the test's, so no counter expires by it."""
        self._client.hset("test:clock", mapping={"s": now_us // SECOND_US, "us": now_us % SECOND_US})
        if all(charge.policy.algorithm == "gcra" for charge in charges):
            reply = self._call(decide_call(self._scripts["decide"], charges))
            if reply[0] != LEFT_TO_ACQUIRE:
                return decide_reply(reply)
        acquired = acquire_reply(self._call(acquire_call(self._scripts["acquire"], charges, AcquireOptions())))
        return Verdict(len(acquired.waits_us) == 1, acquired.states)

    def _call(self, packed: bytes) -> list[int]:
        words = packed.split(b"\r\n")[2::2]
        reply: list[int] = self._client.evalsha(words[1].decode(), int(words[2]), *words[3:])
        for key in self._client.keys("counter:*"):
            assert self._client.pttl(key) != 0
            self._client.persist(key)
        return reply
