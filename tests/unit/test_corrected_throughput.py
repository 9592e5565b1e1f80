"""A million tokens a minute with estimates that are wrong by a factor of four: what is really used is the limit."""

from collections import Counter, deque
from itertools import cycle

import pytest
import redis

from app.limiter.policy import Charge, Correction, Policy
from app.limiter.script_calls import correct_call, decide_call, decide_reply
from app.redis_wire.scripts import Script, source
from tests.support.script_clock import START_US, with_clock

COUNTER = "counter:{tokens|user:a}"
SENDER = "corrections:{sender}"
LIMIT, MINUTE_US = 1_000_000, 60_000_000
USED = (2000, 6000, 3000, 5000, 4000)
"""Tokens that the requests really use, one after the other."""
TAKES_US = 3_000_000
WINDOWS = 3


class Gateway:
    """Callers who always have another request, before counters whose clock the test sets."""

    def __init__(self, client: redis.Redis) -> None:
        client.flushall()
        self.client = client
        self.scripts = {name: Script(with_clock(source("app.limiter", name))) for name in ("decide", "correct")}
        for name in self.scripts:
            client.script_load(with_clock(source("app.limiter", name)))
        self.policy = Policy(LIMIT, 60.0, LIMIT // 5, 1)
        self.now = START_US
        self.answers: deque[tuple[int, int, Charge]] = deque()
        self.used: Counter[int] = Counter()
        self.batches = 0

    def call(self, packed: bytes) -> list[int]:
        self.client.hset("test:clock", mapping={"s": self.now // 1_000_000, "us": self.now % 1_000_000})
        words = packed.split(b"\r\n")[2::2]
        transaction = self.client.pipeline()
        transaction.evalsha(words[1].decode(), int(words[2]), *words[3:])
        for key in (COUNTER, COUNTER + ":debt", SENDER):  # Redis's own clock is not the test's
            transaction.persist(key)
        reply: list[int] = transaction.execute()[0]
        return reply

    def run(self, charged_of: float, windows: int) -> None:
        """Requests are charged `charged_of` times what they use."""
        for used in cycle(USED):
            charge = Charge(COUNTER, self.policy, int(used * charged_of))
            self.wait_for_units(charge)
            if self.now >= START_US + windows * MINUTE_US:
                return
            self.answers.append((self.now + TAKES_US, used, charge))

    def wait_for_units(self, charge: Charge) -> None:
        while True:
            verdict = decide_reply(self.call(decide_call(self.scripts["decide"], [charge])))
            if verdict.allowed:
                return
            at = self.now + verdict.states[0].wait_us
            if self.answers and self.answers[0][0] <= at:
                self.answer()
            else:
                self.now = at

    def answer(self) -> None:
        self.now, used, charge = self.answers.popleft()
        self.used[(self.now - START_US) // MINUTE_US] += used
        self.batches += 1
        correction = Correction(charge, used - charge.cost)
        self.call(correct_call(self.scripts["correct"], SENDER, self.batches, 60_000, [correction]))


@pytest.mark.parametrize("charged_of", [4, 1, 0.25], ids=["four times too high", "right", "four times too low"])
def test_what_is_used_is_the_limit(redis_client: redis.Redis, charged_of: float) -> None:
    gateway = Gateway(redis_client)
    gateway.run(charged_of, WINDOWS)
    for window in range(1, WINDOWS):
        assert gateway.used[window] == pytest.approx(LIMIT, rel=0.01), gateway.used
