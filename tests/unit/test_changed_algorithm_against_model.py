"""A rule that changes its algorithm: what was spent stays spent, in both directions, against a plain Python model."""

import math
from dataclasses import dataclass, field

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from app.limiter.policy import Charge, Policy
from tests.support.clocked_limiter import ClockedLimiter
from tests.support.script_clock import START_US

COUNTER = "counter:{r|user:a}"
GCRA, SLIDING = "gcra", "sliding_window"
SECOND_US = 1_000_000


@dataclass
class Model:
    """One counter under either algorithm: the time at which nothing is owed, or the times of the units in the log.

    As long as nothing has been spent there is no counter, and each caller is judged by the policy that it knows.
    """

    now: int
    policy: Policy
    is_stored: bool = False
    tat: float = 0
    times: list[float] = field(default_factory=list)

    @property
    def window_us(self) -> float:
        return self.policy.window_s * SECOND_US

    @property
    def units(self) -> int:
        return self.policy.burst if self.policy.algorithm == GCRA else self.policy.limit

    def owed(self) -> float:
        if self.policy.algorithm == GCRA:
            return max(0.0, self.tat - self.now) / self.policy.emission_interval_us
        return len([time for time in self.times if time > self.now - self.window_us])

    def adopt(self, policy: Policy) -> None:
        if not self.is_stored:
            self.policy = policy
        if policy.revision <= self.policy.revision:
            return
        same, owed = policy.algorithm == self.policy.algorithm, self.owed()
        self.policy = policy
        if policy.algorithm == GCRA:
            self.tat = self.now + math.ceil(min(owed, self.units) * policy.emission_interval_us)
        elif same:
            self.drop_expired()
        else:
            owed = min(owed, self.units)
            free_in = [(owed - i) * policy.emission_interval_us for i in reversed(range(math.ceil(owed)))]
            self.times = [self.now + math.ceil(wait - self.window_us) for wait in free_in]

    def decide(self, cost: int) -> bool:
        permitted = self.spend(cost)
        self.is_stored = self.is_stored or permitted
        return permitted

    def spend(self, cost: int) -> bool:
        if self.policy.algorithm == GCRA:
            tat = max(self.tat, self.now) + cost * self.policy.emission_interval_us
            if tat - self.units * self.policy.emission_interval_us > self.now + 1e-3:
                return False
            self.tat = math.ceil(tat)
            return True
        if self.owed() + cost > self.units:
            return False
        self.drop_expired()
        self.times += [self.now] * cost
        return True

    def drop_expired(self) -> None:
        """A unit that counts no more is gone, whatever window comes later."""
        self.times = [time for time in self.times if time > self.now - self.window_us]

    def remaining(self) -> int:
        return max(0, math.floor(self.units - self.owed() + 1e-6))


class ChangingMachine(RuleBasedStateMachine):
    client: redis.Redis

    def __init__(self) -> None:
        super().__init__()
        self.client.flushall()
        self.limiter = ClockedLimiter(self.client)
        self.policies = [Policy(5, 1.0, 5, 1, GCRA)]
        self.model = Model(START_US, self.policies[0])

    @rule(step=st.one_of(st.integers(0, 300_000), st.integers(0, 3_000_000)))
    def time_passes(self, step: int) -> None:
        self.model.now += step

    @rule(
        algorithm=st.sampled_from([GCRA, SLIDING]),
        limit=st.sampled_from([1, 2, 4, 5, 8, 10, 20, 40]),  # so that a unit takes whole microseconds
        window_s=st.sampled_from([0.5, 1.0, 2.5]),
        burst=st.integers(1, 40),
    )
    def policy_changes(self, algorithm: str, limit: int, window_s: float, burst: int) -> None:
        revision = self.policies[-1].revision + 1
        self.policies.append(Policy(limit, window_s, limit if algorithm == SLIDING else burst, revision, algorithm))

    @rule(cost=st.integers(1, 5), behind=st.sampled_from([0, 0, 0, 1, 2]))
    def ask(self, cost: int, behind: int) -> None:
        """Some edges know the new rule later than others: they are judged by the newest that any of them knew."""
        charge = Charge(COUNTER, self.policies[max(0, len(self.policies) - 1 - behind)], cost)
        left = self.model.remaining()
        self.model.adopt(charge.policy)
        assert self.model.remaining() <= max(left, self.model.units - self.model.owed() + 1e-6)
        allowed, remaining = self.ask_redis(charge)
        assert allowed == self.model.decide(cost)
        assert remaining == self.model.remaining()

    def ask_redis(self, charge: Charge) -> tuple[bool, int]:
        verdict = self.limiter.decide([charge], self.model.now)
        return verdict.allowed, verdict.states[0].remaining


def test_a_changed_algorithm_answers_as_the_model_does(redis_client: redis.Redis) -> None:
    machine = type("Machine", (ChangingMachine,), {"client": redis_client})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=80, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


@pytest.mark.parametrize(("before", "after"), [(GCRA, SLIDING), (SLIDING, GCRA)])
@pytest.mark.parametrize("spent", [1, 5, 10])
def test_what_is_left_is_the_same_after_the_change(
    redis_client: redis.Redis, before: str, after: str, spent: int
) -> None:
    machine = type("Machine", (ChangingMachine,), {"client": redis_client})()
    for _ in range(spent):
        assert machine.ask_redis(Charge(COUNTER, Policy(10, 60, 10, 1, before)))[0]
    left = [machine.ask_redis(Charge(COUNTER, Policy(10, 60, 10, 2, after))) for _ in range(11 - spent)]
    assert left == [*((True, n) for n in reversed(range(10 - spent))), (False, 0)]
    assert machine.ask_redis(Charge(COUNTER, Policy(10, 60, 10, 1, before))) == (False, 0), "as an edge that is behind"
    assert redis_client.exists(COUNTER) == 1
    assert redis_client.exists(COUNTER + ":log") == (after == SLIDING)


def test_a_full_log_is_taken_over_in_one_call_of_few_milliseconds(redis_client: redis.Redis) -> None:
    machine = type("Machine", (ChangingMachine,), {"client": redis_client})()
    assert machine.ask_redis(Charge(COUNTER, Policy(10_000, 60, 10_000, 1, GCRA), cost=9_999))[0]
    redis_client.config_resetstat()
    assert machine.ask_redis(Charge(COUNTER, Policy(10_000, 60, 10_000, 2, SLIDING))) == (True, 0)
    assert redis_client.llen(COUNTER + ":log") == 10_000
    assert machine.ask_redis(Charge(COUNTER, Policy(10_000, 60, 10_000, 2, SLIDING))) == (False, 0)
    pushes = redis_client.info("commandstats")["cmdstat_rpush"]["calls"]
    assert pushes == 10, "a unit is not a command of its own"
