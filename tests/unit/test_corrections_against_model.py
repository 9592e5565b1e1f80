"""Corrections of costs against a plain Python model: each applied once, whatever clock and rule do meanwhile."""

import math
from dataclasses import dataclass

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from app.limiter.policy import Charge, Correction, Policy, Verdict
from app.limiter.script_calls import (
    LEFT_TO_ACQUIRE,
    AcquireOptions,
    acquire_call,
    acquire_reply,
    correct_call,
    decide_call,
    decide_reply,
)
from app.redis_wire.scripts import Script, source
from app.rules.bounds import MAX_REFILL_S
from tests.support.examples import scaled
from tests.support.script_clock import START_US, with_clock

COUNTER = "counter:{r|user:a}"
SENDER = "corrections:{sender}"
SECOND_US = 1_000_000
FURTHEST_SLOT_US = 4 * SECOND_US
ROUNDING_US = 1e-3
LONGEST_US = MAX_REFILL_S * SECOND_US


@dataclass
class Request:
    """A request that was allowed: what it was charged, and what it has really cost once its answer is there."""

    at: int
    charged: int
    real: int | None = None


@dataclass
class Model:
    """One counter under GCRA. `tat` is absolute; `debt`: what the last correction left owed, if more than a burst."""

    now: int
    policy: Policy
    tat: float = 0
    debt: float = 0

    @property
    def e(self) -> float:
        return self.policy.emission_interval_us

    @property
    def tau(self) -> float:
        return self.e * self.policy.burst

    def owed_us(self) -> float:
        owed = max(0.0, self.tat - self.now)
        most = max(self.tau, self.debt * self.e)
        return most if owed > most + FURTHEST_SLOT_US else owed

    def adopt(self, policy: Policy) -> None:
        owed = self.owed_us()
        if policy.revision > self.policy.revision:
            beyond = owed - self.tau if owed > self.tau + FURTHEST_SLOT_US else 0
            units = min((owed - beyond) / self.e, policy.burst) + beyond / self.e
            self.policy = policy
            most = max(LONGEST_US, self.tau) if beyond else math.inf
            self.tat = self.now + math.ceil(min(units * self.e, most)) if self.tat else 0
        elif owed < self.tat - self.now:
            self.tat = self.now + math.ceil(owed)

    def wait_us(self, cost: int) -> int:
        return max(0, math.ceil(self.tat - self.now + self.e * cost - self.tau - ROUNDING_US))

    def decide(self, cost: int) -> bool:
        if self.tat - self.now + (self.e * cost - self.tau - ROUNDING_US) > 0:
            return False
        self.tat = self.now + math.ceil(max(0.0, self.tat - self.now) + self.e * cost)
        return True

    def correct(self, units: int) -> None:
        before = max(0.0, self.tat - self.now)
        after = max(0.0, min(before + units * self.e, max(before, LONGEST_US)))
        if after != before:
            self.tat = self.now + math.ceil(after)
            if after > self.tau:
                self.debt = after / self.e
            elif before > self.tau:
                self.debt = 0

    def remaining(self) -> int:
        return max(0, math.floor((self.tau - max(0.0, self.tat - self.now) + ROUNDING_US) / self.e))


class CorrectedMachine(RuleBasedStateMachine):
    client: redis.Redis

    def __init__(self) -> None:
        super().__init__()
        self.client.flushall()
        self.scripts = {name: with_clock(source("app.limiter", name)) for name in ("decide", "acquire", "correct")}
        self.policies = [Policy(10, 10.0, 10, 1)]
        self.model = Model(START_US, self.policies[0])
        self.batch = 0
        self.requests: list[Request] = []
        self.credits: list[tuple[int, int, int]] = []
        """When units were given back, how many, and when the request had been charged them."""

    @rule(step=st.one_of(st.integers(0, 2 * SECOND_US), st.integers(0, 100 * SECOND_US)))
    def time_passes(self, step: int) -> None:
        self.model.now += step

    @rule(step=st.one_of(st.integers(1, 3 * SECOND_US), st.integers(1, 1000 * SECOND_US)))
    def the_clock_steps_back(self, step: int) -> None:
        self.model.now -= step
        self.forget()

    @rule(
        limit=st.sampled_from([1, 2, 4, 5, 8, 10, 20, 40]),
        window_s=st.sampled_from([1.0, 10.0, 60.0]),
        burst=st.integers(5, 60),
    )
    def policy_changes(self, limit: int, window_s: float, burst: int) -> None:
        self.policies.append(Policy(limit, window_s, burst, self.policies[-1].revision + 1))
        self.forget()

    def forget(self) -> None:
        """The bound is that of one policy and of a clock that goes on."""
        self.requests.clear()
        self.credits.clear()

    @rule(cost=st.integers(1, 5), script=st.sampled_from(["decide", "acquire"]), behind=st.sampled_from([0, 0, 0, 1]))
    def ask(self, cost: int, script: str, behind: int) -> None:
        charge = Charge(COUNTER, self.policies[max(0, len(self.policies) - 1 - behind)], cost)
        self.model.adopt(charge.policy)
        verdict = self.ask_redis(charge, script)
        state = verdict.states[0]
        assert verdict.allowed == self.model.decide(cost)
        assert state.remaining == self.model.remaining()
        assert state.wait_us == self.model.wait_us(cost)
        if verdict.allowed:
            self.requests.append(Request(self.model.now, cost))

    def ask_redis(self, charge: Charge, script: str = "decide") -> Verdict:
        if script == "decide":
            reply = self.call("decide", decide_call(Script(self.scripts["decide"]), [charge]))
            if reply[0] != LEFT_TO_ACQUIRE:
                return decide_reply(reply)
        acquire = acquire_call(Script(self.scripts["acquire"]), [charge], AcquireOptions())
        answer = acquire_reply(self.call("acquire", acquire))
        return Verdict(len(answer.waits_us) == 1, answer.states)

    @rule(
        which=st.integers(0, 100),
        real=st.one_of(st.integers(0, 5), st.integers(0, 400), st.sampled_from([10**6, 10**9])),
        behind=st.sampled_from([0, 0, 0, 1]),
        again=st.booleans(),
    )
    def an_answer_states_the_cost(self, which: int, real: int, behind: int, again: bool) -> None:
        unanswered = [request for request in self.requests if request.real is None]
        if not unanswered:
            return
        request = unanswered[which % len(unanswered)]
        request.real = real
        units = real - request.charged
        if units < 0:
            self.credits.append((self.model.now, -units, request.at))
        policy = self.policies[max(0, len(self.policies) - 1 - behind)]
        self.model.adopt(policy)
        self.model.correct(units)
        self.batch += 1
        assert self.correct(policy, units) == 1
        if again:
            assert self.correct(policy, units) == 0, "a batch whose reply was lost is applied once"

    def correct(self, policy: Policy, units: int) -> int:
        corrections = [Correction(Charge(COUNTER, policy), units)]
        packed = correct_call(Script(self.scripts["correct"]), SENDER, self.batch, 60_000, corrections)
        return self.call("correct", packed)  # type: ignore[return-value] # this script answers with one integer

    def call(self, name: str, packed: bytes) -> list[int]:
        now = self.model.now
        self.client.hset("test:clock", mapping={"s": now // SECOND_US, "us": now % SECOND_US})
        self.client.script_load(self.scripts[name])
        words = packed.split(b"\r\n")[2::2]
        transaction = self.client.pipeline()
        transaction.evalsha(words[1].decode(), int(words[2]), *words[3:])
        for key in (COUNTER, COUNTER + ":debt", COUNTER + ":log", SENDER):  # Redis's own clock is not the test's
            transaction.persist(key)
        reply: list[int] = transaction.execute()[0]
        return reply

    @invariant()
    def what_requests_really_cost_stays_within_the_limit(self) -> None:
        """In any stretch: burst + rate * T, and what was given back in it of requests that were sent before it.

        An answer that costs more than was charged shows only when it has ended, so requests count by what is known of
        them, and a debt that an answer has left is no new request.
        """
        e, burst = self.policies[-1].emission_interval_us, self.policies[-1].burst
        if self.model.policy.revision != self.policies[-1].revision:
            return
        for first in self.requests:
            later = [request for request in self.requests if request.at >= first.at]
            for last in later:
                within = [request for request in later if request.at <= last.at]
                units = sum(min(r.charged, r.charged if r.real is None else r.real) for r in within)
                given_back = sum(n for at, n, charged_at in self.credits if at >= first.at > charged_at)
                assert units * e <= burst * e + (last.at - first.at) + given_back * e + len(within) + 1


def machine_on(client: redis.Redis) -> type[CorrectedMachine]:
    return type("Machine", (CorrectedMachine,), {"client": client})


def test_corrections_do_what_the_model_does(redis_client: redis.Redis) -> None:
    run_state_machine_as_test(
        machine_on(redis_client),
        settings=settings(
            max_examples=scaled(100), stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


class Counter:
    """The scripts on one counter: 10 units in 10 s, at most 10 at once."""

    def __init__(self, client: redis.Redis) -> None:
        self.machine = machine_on(client)()
        self.policy = Policy(10, 10.0, 10, 1)

    def ask(self, cost: int = 1) -> tuple[bool, int]:
        """Whether a request is allowed, and how many milliseconds until another one is."""
        verdict = self.machine.ask_redis(Charge(COUNTER, self.policy, cost))
        return verdict.allowed, verdict.states[0].wait_us // 1000

    def correct(self, units: int) -> None:
        self.machine.batch += 1
        assert self.machine.correct(self.policy, units) == 1

    def wait(self, seconds: float) -> None:
        self.machine.model.now += int(seconds * SECOND_US)

    def change(self, limit: int, window_s: float, burst: int) -> None:
        self.policy = Policy(limit, window_s, burst, self.policy.revision + 1)


@pytest.fixture
def counter(redis_client: redis.Redis) -> Counter:
    return Counter(redis_client)


def test_a_debt_beyond_the_burst_delays_what_follows_by_exactly_that(counter: Counter) -> None:
    assert counter.ask(10)[0]
    counter.correct(1000)
    assert counter.ask() == (False, 1_001_000)
    counter.wait(1000.999)
    assert counter.ask() == (False, 1)
    counter.wait(0.001)
    assert counter.ask()[0]


def test_what_is_given_back_can_be_spent_at_once(counter: Counter) -> None:
    assert counter.ask(10)[0]
    assert not counter.ask()[0]
    counter.correct(-6)
    assert [counter.ask()[0] for _ in range(7)] == [True] * 6 + [False]


def test_nobody_is_given_more_than_nothing_owed(counter: Counter) -> None:
    assert counter.ask(10)[0]
    counter.wait(5)
    counter.correct(-10)
    assert [counter.ask()[0] for _ in range(11)] == [True] * 10 + [False]


def test_where_nothing_is_owed_nothing_is_written(counter: Counter, redis_client: redis.Redis) -> None:
    counter.correct(-5)
    assert not redis_client.exists(COUNTER)


def test_a_debt_is_not_taken_for_a_clock_that_stepped_back(counter: Counter) -> None:
    assert counter.ask(10)[0]
    counter.correct(1000)
    counter.wait(-600)
    assert counter.ask() == (False, 1_001_000), "for as long as the debt says, and no longer"
    counter.wait(1001)
    assert counter.ask()[0]


def test_a_debt_that_was_given_back_is_no_excuse_for_a_clock_that_stepped_back(
    counter: Counter, redis_client: redis.Redis
) -> None:
    counter.correct(1000)
    counter.correct(-995)
    assert not redis_client.exists(COUNTER + ":debt")
    while counter.ask()[0]:
        pass
    counter.wait(-600)
    assert counter.ask() == (False, 1000)


@pytest.mark.parametrize(
    ("limit", "window_s", "burst", "wait_ms"),
    [
        (10, 10.0, 5, 1_001_000),  # a smaller burst: only what a correction has left is beyond it
        (10, 10.0, 10, 1_001_000),
        (10, 10.0, 100, 1_000_000 - 89_000),
        (10, 100.0, 10, 10_010_000),
        (100, 10.0, 10, 100_100),
    ],
)
def test_a_debt_outlives_a_change_of_its_rule(
    counter: Counter, limit: int, window_s: float, burst: int, wait_ms: int
) -> None:
    assert counter.ask(10)[0]
    counter.correct(1000)
    counter.change(limit, window_s, burst)
    assert counter.ask() == (False, wait_ms)


def test_a_smaller_burst_refuses_nobody_for_longer(counter: Counter) -> None:
    assert counter.ask(10)[0]
    counter.correct(-2)
    counter.correct(1)
    counter.change(10, 10.0, 2)
    assert counter.ask() == (False, 1000)


def test_the_longest_debt_is_paid_within_the_longest_time(counter: Counter) -> None:
    counter.change(1, 366 * 86_400.0, 10)
    for _ in range(3):
        counter.correct(10**9)
    assert counter.ask() == (False, (MAX_REFILL_S - 9 * 366 * 86_400) * 1000)


def test_an_algorithm_that_keeps_a_log_is_not_corrected(counter: Counter, redis_client: redis.Redis) -> None:
    sliding = Policy(10, 10.0, 10, 5, "sliding_window")
    acquire = acquire_call(Script(counter.machine.scripts["acquire"]), [Charge(COUNTER, sliding, 3)], AcquireOptions())
    counter.machine.call("acquire", acquire)
    counter.correct(-2)
    counter.correct(5)
    assert redis_client.llen(COUNTER + ":log") == 3
