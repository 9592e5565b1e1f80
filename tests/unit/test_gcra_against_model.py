"""The limiter's scripts against a plain Python model: the same answers, and never more than burst + rate * T."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from app.redis_wire.scripts import source
from tests.support.examples import scaled
from tests.support.gcra_model import Model, Quota
from tests.support.script_clock import START_US, with_clock

WINDOW = 60_000_000
"""The text by which counters tell the limits of a rule apart; what follows from it is tested elsewhere."""

NAMES = ("a", "b", "c")


def flags(quota: Quota) -> int:
    return quota.shadow + 2 * quota.blocked_by_backlog


class LimiterMachine(RuleBasedStateMachine):
    client: redis.Redis

    def __init__(self) -> None:
        super().__init__()
        self.client.flushall()
        self.acquire = self.client.register_script(with_clock(source("app.limiter", "acquire")))
        self.decide = self.client.register_script(with_clock(source("app.limiter", "decide")))
        self.model = Model()
        self.now = START_US
        self.policies = dict.fromkeys(NAMES, (1000000.0, 3, 1))
        self.granted: dict[str, list[tuple[int, int]]] = defaultdict(list)

    @rule(step=st.one_of(st.integers(0, 2_000_000), st.integers(10_000_000, 100_000_000)))
    def time_passes(self, step: int) -> None:
        self.now += step
        # Counters that owe nothing any more may have expired; the model forgets them as Redis may.
        for name in [name for name, counter in self.model.counters.items() if counter.tat <= self.now]:
            self.client.delete(f"counter:{name}")
            del self.model.counters[name]

    @rule(
        name=st.sampled_from(NAMES),
        limit=st.integers(1, 2000),
        window_s=st.sampled_from([0.1, 1, 7, 60, 3600]),
        burst=st.integers(1, 50),
    )
    def policy_changes(self, name: str, limit: int, window_s: float, burst: int) -> None:
        revision = self.policies[name][2] + 1
        self.policies[name] = (window_s * 1e6 / limit, burst, revision)
        self.granted[name].clear()

    @rule(name=st.sampled_from(NAMES), present=st.booleans())
    def backlog_changes(self, name: str, present: bool) -> None:
        if present:
            self.client.set(f"backlog:{name}", "60000 x")
            self.model.markers.add(name)
        else:
            self.client.delete(f"backlog:{name}")
            self.model.markers.discard(name)

    @rule(
        names=st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True),
        costs=st.lists(st.integers(1, 4), min_size=3, max_size=3),
        shadow=st.sampled_from([False, False, False, True]),
        heeds=st.lists(st.booleans(), min_size=3, max_size=3),
        stale=st.sampled_from([0, 0, 0, 1]),
        live=st.sampled_from(["acquire", "decide", ""]),
        n=st.integers(1, 60),
        horizon=st.integers(0, 50_000),
        lead=st.integers(0, 15_000),
    )
    def ask(
        self,
        names: list[str],
        costs: list[int],
        shadow: bool,
        heeds: list[bool],
        stale: int,
        live: str,
        n: int,
        horizon: int,
        lead: int,
    ) -> None:
        n, horizon, lead = (1, 0, 0) if live else (n, horizon, min(lead, horizon))
        quotas = [
            Quota(
                name,
                *self.policies[name][:2],
                self.policies[name][2] - stale,
                cost,
                shadow and i > 0,
                heeds[i] and live != "",
            )
            for i, (name, cost) in enumerate(zip(names, costs, strict=False))
        ]
        for quota in quotas:
            stored = self.model.counters.get(quota.name)
            if stored is not None and stored.revision < quota.revision:
                # What is owed is carried over up to the new burst: slots granted ahead at the old rate (a horizon of
                # them at most) may be forgotten, so the bound begins anew.
                self.granted[quota.name].clear()
        expected = self.model.acquire(self.now, quotas, n, horizon, lead)
        if live == "decide":
            reply = self._decide_in_redis(quotas)
            assert reply[0] == len(expected.waits)
            states = [reply[1 + 5 * i : 6 + 5 * i] for i in range(len(quotas))]
        else:
            reply = self._ask_redis(quotas, n, horizon, lead)
            m = reply[0]
            states = [reply[3 + m + 5 * i : 8 + m + 5 * i] for i in range(len(quotas))]
            assert reply[3 : 3 + m] == expected.waits
            assert reply[1:3] == [expected.next_wait, self.now]
        assert [state[0] for state in states] == expected.remaining
        assert [bool(state[3]) for state in states] == expected.refused
        assert [bool(state[4]) for state in states] == expected.backlog
        for quota in quotas:
            if not quota.shadow and not stale:  # the bound is the current policy's
                self.granted[quota.name] += [(self.now + wait, quota.cost) for wait in expected.waits]

    def _ask_redis(self, quotas: list[Quota], n: int, horizon: int, lead: int) -> list[int]:
        keys = [f"counter:{quota.name}" for quota in quotas]
        keys += [f"backlog:{quota.name}" for quota in quotas if quota.blocked_by_backlog]
        args: list[str | int] = [n, horizon, lead, 0, "", 0, "", 0, len(quotas)]
        for quota in quotas:
            args += ["gcra", repr(quota.e), quota.burst, WINDOW, quota.revision, quota.cost, flags(quota)]
        return self._call(self.acquire, keys, args, quotas)

    def _decide_in_redis(self, quotas: list[Quota]) -> list[int]:
        keys = [f"counter:{quota.name}" for quota in quotas]
        keys += [f"backlog:{quota.name}" for quota in quotas if quota.blocked_by_backlog]
        args: list[str | int] = [len(quotas)]
        for quota in quotas:
            terms = f"{quota.e!r} {quota.burst} {WINDOW} {quota.revision}"
            args += [terms, repr(quota.e), quota.burst, quota.cost, flags(quota)]
        return self._call(self.decide, keys, args, quotas)

    def _call(self, script: Callable[..., Any], keys: list[str], args: list[str | int], of: list[Quota]) -> list[int]:
        self.client.hset("test:clock", mapping={"s": self.now // 1_000_000, "us": self.now % 1_000_000})
        reply: list[int] = script(keys, args)
        # Redis's own clock is not the test's: no counter may expire by it.
        for quota in of:
            self.client.persist(f"counter:{quota.name}")
            counter = self.model.counters.get(quota.name)
            if counter is None:
                self.client.delete(f"counter:{quota.name}")
        return reply

    @invariant()
    def never_above_burst_and_rate(self) -> None:
        for name, grants in self.granted.items():
            counter = self.model.counters.get(name)
            e, burst, revision = self.policies[name]
            if counter is not None and counter.revision != revision:
                continue
            in_time = sorted(grants)
            for i in range(len(in_time)):
                units = 0
                for at, cost in in_time[i:]:
                    units += cost
                    assert units * e <= burst * e + (at - in_time[i][0]) + 1, (name, in_time)


def test_script_answers_as_the_model_does(redis_client: redis.Redis) -> None:
    machine = type("Machine", (LimiterMachine,), {"client": redis_client})
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=scaled(150), stateful_step_count=40, suppress_health_check=list(HealthCheck)),
    )
