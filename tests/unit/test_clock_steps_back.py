"""The clock of the counters steps back: nobody is refused for longer than the quota itself says."""

from collections.abc import Iterator

import pytest
import redis

from app.limiter.local_limiter import LocalLimiter
from app.limiter.policy import Charge, Policy
from app.redis_wire.scripts import source
from app.settings import Settings
from tests.support.script_clock import START_US, with_clock

STEP_US = 600_000_000
COUNTER = "counter:{r|user:u}"
INTERVAL_US, BURST = 1_000_000, 5
Arguments = list[str | int]


class Counters:
    """The limiter's scripts under a clock that the test sets."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self.now = START_US

    def run(self, script: str, keys: list[str], arguments: Arguments) -> list[int]:
        self.client.hset("test:clock", mapping={"s": self.now // 1_000_000, "us": self.now % 1_000_000})
        text = with_clock(source("app.limiter", script))
        reply: list[int] = self.client.register_script(text)(keys=keys, args=arguments)
        return reply

    def decide(self, revision: int = 1, interval: int = INTERVAL_US) -> tuple[bool, int]:
        """Whether a live request is allowed, and its wait in microseconds."""
        parameters = f"{interval} {BURST} 1 {revision}"
        reply = self.run("decide", [COUNTER], [1, parameters, interval, BURST, 1, 0])
        return reply[0] == 1, reply[2]

    def acquire(self, algorithm: str, interval: int, n: int, horizon: int, lead: int = 0) -> tuple[int, int]:
        """How many slots a worker is granted, and the wait for the next one."""
        quota: Arguments = [algorithm, interval, BURST, 1, 1, 1, 0]
        reply = self.run("acquire", [COUNTER], [n, horizon, lead, 0, "", 0, "", 0, 1, *quota])
        return reply[0], reply[1]


@pytest.fixture
def counters(settings: Settings) -> Iterator[Counters]:
    client = redis.Redis.from_url(settings.cache_redis_url)
    client.flushall()
    yield Counters(client)
    client.close()


def test_a_caller_at_the_limit_waits_for_a_unit(counters: Counters) -> None:
    assert [counters.decide()[0] for _ in range(BURST + 1)] == [True] * BURST + [False]
    counters.now -= STEP_US
    allowed, wait_us = counters.decide()
    assert not allowed, "what was spent stays spent"
    assert wait_us == INTERVAL_US
    counters.now += INTERVAL_US
    assert counters.decide()[0]


def test_a_changed_rule_converts_no_more_than_a_burst(counters: Counters) -> None:
    while counters.decide()[0]:
        pass
    counters.now -= STEP_US
    allowed, wait_us = counters.decide(revision=2, interval=INTERVAL_US * 2)
    assert not allowed
    assert wait_us == 2 * INTERVAL_US


def test_a_small_step_back_gives_nothing_away(counters: Counters) -> None:
    while counters.decide()[0]:
        pass
    counters.now -= 2_000_000
    assert counters.decide() == (False, 3 * INTERVAL_US), "it may be slots that are to come"


@pytest.mark.parametrize(
    ("algorithm", "interval", "wait_us"),
    [("gcra", INTERVAL_US, INTERVAL_US), ("sliding_window", BURST * INTERVAL_US, BURST * INTERVAL_US)],
    ids=["gcra", "sliding_window"],
)
def test_a_flow_waits_for_no_longer_than_its_quota(
    counters: Counters, algorithm: str, interval: int, wait_us: int
) -> None:
    assert counters.acquire(algorithm, interval, 50, 0)[0] == BURST
    counters.now -= STEP_US
    assert counters.acquire(algorithm, interval, 50, 0) == (0, wait_us)
    counters.now += wait_us
    assert counters.acquire(algorithm, interval, 1, 0)[0] == 1


@pytest.mark.parametrize(("algorithm", "interval"), [("gcra", INTERVAL_US), ("sliding_window", BURST * INTERVAL_US)])
def test_slots_that_are_to_come_are_no_step_back(counters: Counters, algorithm: str, interval: int) -> None:
    assert counters.acquire(algorithm, interval, 50, 3_000_000, lead=3_000_000)[0] == BURST
    granted, wait_us = counters.acquire(algorithm, interval, 50, 3_000_000)
    assert granted == 0
    assert wait_us > 3_000_000


def test_an_edge_alone_refuses_for_no_longer_than_a_smaller_burst_says() -> None:
    limiter = LocalLimiter(lambda: 1000.0)
    before = Charge(COUNTER, Policy(10, 10.0, 10, 1))
    while limiter.decide((before,), 1).allowed:
        pass
    [state] = limiter.decide((Charge(COUNTER, Policy(10, 10.0, 2, 2)),), 1).states
    assert state.wait_us == 1_000_000
