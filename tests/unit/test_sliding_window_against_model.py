"""Sliding windows in the limiter's script against a plain list of times: exact, beside GCRA quotas, never over."""

from dataclasses import dataclass, field

import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from app.redis_wire.scripts import source
from tests.support.examples import scaled
from tests.support.script_clock import START_US, with_clock


@dataclass
class Log:
    """What app/limiter/lua/acquire.lua keeps, as a plain list."""

    window: float
    limit: int
    revision: int
    times: list[int] = field(default_factory=list)

    def adopt(self, window: float, limit: int, revision: int) -> None:
        if revision > self.revision:
            self.window, self.limit, self.revision = window, limit, revision

    def earliest(self, cost: int) -> float:
        if cost > self.limit:
            return float("inf")
        slot: float = self.times[-1] if self.times else float("-inf")
        if len(self.times) + cost > self.limit:
            slot = max(slot, self.times[len(self.times) + cost - self.limit - 1] + self.window)
        return slot

    def remaining(self, now: int) -> int:
        return max(0, self.limit - sum(time > now - self.window for time in self.times))


class SlidingMachine(RuleBasedStateMachine):
    client: redis.Redis

    def __init__(self) -> None:
        super().__init__()
        self.client.flushall()
        self.script = self.client.register_script(with_clock(source("app.limiter", "acquire")))
        self.now = START_US
        self.policy = (1_000_000.0, 5, 1)
        self.log = Log(*self.policy)
        self.granted: list[int] = []

    @rule(step=st.one_of(st.integers(0, 300_000), st.integers(0, 3_000_000)))
    def time_passes(self, step: int) -> None:
        self.now += step

    @rule(window_s=st.sampled_from([0.05, 1, 2.5]), limit=st.integers(1, 40))
    def policy_changes(self, window_s: float, limit: int) -> None:
        self.policy = (window_s * 1e6, limit, self.policy[2] + 1)

    @rule(
        cost=st.integers(1, 3),
        live=st.booleans(),
        n=st.integers(1, 50),
        horizon=st.integers(0, 200_000),
        lead=st.integers(0, 15_000),
    )
    def ask(self, cost: int, live: bool, n: int, horizon: int, lead: int) -> None:
        n, horizon, lead = (1, 0, 0) if live else (n, horizon, min(lead, horizon))
        reply = self.ask_redis(cost, n, horizon, lead)
        changed = self.policy[2] > self.log.revision
        self.log.adopt(*self.policy)
        if changed:
            self.granted = []
        kept = [time for time in self.log.times if time > self.now - self.log.window]
        expected: list[int] = []
        while len(expected) < n:
            slot = max(self.now + lead, self.log.earliest(cost))
            if slot > self.now + horizon:
                break
            expected.append(int(-(-slot // 1)))
            self.log.times += [expected[-1]] * cost
        added = [time for time in expected for _ in range(cost)]
        self.granted += added
        if changed or added:
            self.log.times = kept + added
        assert reply[0] == len(expected)
        assert [self.now + wait for wait in reply[3 : 3 + len(expected)]] == expected
        assert reply[3 + len(expected)] == self.log.remaining(self.now)
        if cost <= self.log.limit:
            wait = max(0, -(-(self.log.earliest(cost) - self.now) // 1))
            assert reply[4 + len(expected)] == wait

    def ask_redis(self, cost: int, n: int, horizon: int, lead: int) -> list[int]:
        self.client.hset("test:clock", mapping={"s": self.now // 1_000_000, "us": self.now % 1_000_000})
        window, limit, revision = self.policy
        arguments: list[str | int] = [
            n,
            horizon,
            lead,
            0,
            "",
            0,
            "",
            0,
            1,
            "sliding_window",
            repr(window),
            limit,
            int(window),
            revision,
            cost,
            0,
        ]
        reply: list[int] = self.script(["counter:a"], arguments)
        for key in ("counter:a", "counter:a:log"):  # Redis's own clock is not the test's
            assert reply[0] == 0 or self.client.pttl(key) > 0, "no key without a TTL"
            self.client.persist(key)
        return reply

    @invariant()
    def never_more_than_the_limit_in_any_window(self) -> None:
        if self.log.revision == self.policy[2]:
            assert self.granted == sorted(self.granted)
            for i in range(len(self.granted) - self.log.limit):
                assert self.granted[i + self.log.limit] - self.granted[i] >= self.log.window


def test_the_log_answers_as_the_model_does(redis_client: redis.Redis) -> None:
    machine = type("Machine", (SlidingMachine,), {"client": redis_client})
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=scaled(150), stateful_step_count=40, suppress_health_check=list(HealthCheck)),
    )
