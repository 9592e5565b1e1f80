"""A rule with several limits, which change: all must permit, and what was spent stays spent by window."""

import math
from dataclasses import dataclass, field
from typing import Any

import redis
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from app.decision import quotas_of
from app.limiter.policy import Policy
from app.rules.active import ActiveRule
from app.rules.match import Match
from app.rules.model import parse_rule
from tests.support.clocked_limiter import ClockedLimiter
from tests.support.script_clock import START_US

WINDOWS_S = (0.5, 1.0, 10.0, 60.0)


@dataclass
class Limit:
    """One limit by GCRA: what is owed until when."""

    policy: Policy
    tat: float = 0

    def owed_units(self, now: int) -> float:
        return max(0.0, self.tat - now) / self.policy.emission_interval_us

    def wait_us(self, now: int, cost: int) -> float:
        interval = self.policy.emission_interval_us
        return max(0.0, max(self.tat, now) + interval * (cost - self.policy.burst) - now - 1e-3)


@dataclass
class Model:
    """The limits of a rule by their windows."""

    now: int = START_US
    limits: dict[float, Limit] = field(default_factory=dict)
    left: dict[float, Limit] = field(default_factory=dict)
    """Limits that the rule has no more: what is owed by their windows counts if they come back."""

    def change(self, policies: tuple[Policy, ...]) -> None:
        before, self.limits = self.limits, {policy.window_s: Limit(policy) for policy in policies}
        known = self.left | before
        if before and max(before) != max(self.limits) and max(before) not in self.limits:
            longest = known.pop(max(before))
            if len(before) == 1:  # its window itself has changed
                known[max(self.limits)] = longest
        self.left = {window_s: limit for window_s, limit in known.items() if window_s not in self.limits}
        for window_s, limit in self.limits.items():
            if window_s in known:
                units = min(known[window_s].owed_units(self.now), limit.policy.burst)
                limit.tat = self.now + math.ceil(units * limit.policy.emission_interval_us)

    def decide(self, cost: int) -> bool:
        if any(math.ceil(limit.wait_us(self.now, cost)) > 0 for limit in self.limits.values()):
            return False
        for limit in self.limits.values():
            limit.tat = math.ceil(max(limit.tat, self.now) + limit.policy.emission_interval_us * cost)
        return True


def rule_of(limits: list[tuple[int, float, int]], revision: int, cost: int = 1) -> ActiveRule:
    own, *others = [{"limit": limit, "window_seconds": window_s, "burst": burst} for limit, window_s, burst in limits]
    fields: dict[str, Any] = {"rule_id": "r", "key_type": "user", "key_value": "*", "cost": cost, **own}
    return ActiveRule(parse_rule(fields | ({"limits": others} if others else {})), revision)


class Limits(RuleBasedStateMachine):
    client: redis.Redis

    def __init__(self) -> None:
        super().__init__()
        self.client.flushall()
        self.limiter = ClockedLimiter(self.client)
        self.revision = 1
        self.limits = [(5, 1.0, 5)]
        self.model = Model()
        self.model.change(rule_of(self.limits, 1).policies)

    @rule(step=st.one_of(st.integers(0, 300_000), st.integers(0, 20_000_000)))
    def time_passes(self, step: int) -> None:
        self.model.now += step

    @rule(
        windows_s=st.lists(st.sampled_from(WINDOWS_S), min_size=1, max_size=3, unique=True),
        limits=st.lists(st.sampled_from([1, 2, 5, 10, 50]), min_size=3, max_size=3),
        bursts=st.lists(st.integers(3, 20), min_size=3, max_size=3),
    )
    def rule_changes(self, windows_s: list[float], limits: list[int], bursts: list[int]) -> None:
        self.limits = list(zip(limits, windows_s, bursts, strict=False))
        self.revision += 1
        self.ask(1)  # the counters follow the rule with the first request under it

    @rule(cost=st.integers(1, 3))
    def ask(self, cost: int) -> None:
        active = rule_of(self.limits, self.revision, cost)
        if active.policies[0].revision > max(limit.policy.revision for limit in self.model.limits.values()):
            self.model.change(active.policies)
        quotas = quotas_of([Match(active, "user:a")])
        verdict = self.limiter.decide(quotas.charges, self.model.now)
        assert verdict.allowed == self.model.decide(cost)
        for policy, state in zip(quotas.policies, verdict.states, strict=True):
            limit = self.model.limits[policy.window_s]
            left = limit.policy.burst - limit.owed_units(self.model.now)
            assert abs(state.remaining - max(0, math.floor(left + 1e-6))) == 0
            assert abs(state.wait_us - limit.wait_us(self.model.now, cost)) <= 2


def test_several_limits_answer_as_the_model_does(redis_client: redis.Redis) -> None:
    machine = type("Machine", (Limits,), {"client": redis_client})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


@given(order=st.permutations([(10, 1.0, 10), (1000, 86_400.0, 1000), (10_000, 2_592_000.0, 10_000)]))
@example(order=[(1000, 86_400.0, 1000), (10, 1.0, 10), (10_000, 2_592_000.0, 10_000)])
def test_the_order_in_the_rule_says_the_names_and_nothing_else(order: list[tuple[int, float, int]]) -> None:
    quotas = quotas_of([Match(rule_of(order, 1), "user:a")])
    by_window = {policy.window_s: policy for policy in quotas.policies}
    names = ["r", "r:2", "r:3"]
    assert [by_window[window_s].name for _, window_s, _ in order] == names
    keys = {policy.window_s: charge.counter for policy, charge in zip(quotas.policies, quotas.charges, strict=True)}
    assert keys == {
        2_592_000.0: "counter:{r|user:a}",
        86_400.0: "counter:{r|user:a}:w86400000000",
        1.0: "counter:{r|user:a}:w1000000",
    }
