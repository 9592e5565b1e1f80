"""Slots that are given back: a counter is then as if they had never been granted, and permits no more than its rate."""

from dataclasses import dataclass
from itertools import combinations_with_replacement

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from app.limiter.policy import Charge, Policy, Slots
from app.limiter.script_calls import AcquireOptions, AcquireReply, acquire_call, acquire_reply, give_back_slot_call
from app.redis_wire.scripts import Script, source
from tests.support.examples import scaled
from tests.support.script_clock import START_US, with_clock

COUNTER, REPLAYED = "counter:{r|user:a}", "counter:{r|user:replayed}"
SECOND_US = 1_000_000
LIMIT, WINDOW_S = 3, 6.0
INTERVAL_US = WINDOW_S * SECOND_US / LIMIT
HORIZON_US = 50_000


@dataclass(frozen=True)
class Grant:
    """Slots that were granted, and what was asked for when."""

    now: int
    n: int
    lead_us: int
    charge: Charge
    reply: AcquireReply

    @property
    def slots_us(self) -> list[int]:
        return [self.now + wait_us for wait_us in self.reply.waits_us]

    @property
    def answer(self) -> Slots:
        waits_us = tuple(state.wait_us for state in self.reply.states)
        return Slots(self.reply.waits_us, self.reply.next_wait_us, self.reply.now_us, waits_us)


class GivingBack(RuleBasedStateMachine):
    client: redis.Redis
    policy: Policy

    def __init__(self) -> None:
        super().__init__()
        self.client.flushall()
        self.scripts = {name: with_clock(source("app.limiter", name)) for name in ("acquire", "give_back_slot")}
        self.now = START_US
        self.grants: list[Grant] = []
        """Those that were not given back."""

    @rule(step=st.one_of(st.integers(0, 60_000), st.integers(0, 8 * SECOND_US)))
    def time_passes(self, step: int) -> None:
        self.now += step

    @rule(n=st.integers(1, 3), cost=st.integers(1, 2), lead_us=st.sampled_from([0, 2_000, 40_000]))
    def ask(self, n: int, cost: int, lead_us: int) -> None:
        charge = Charge(COUNTER, self.policy, cost)
        grant = Grant(self.now, n, lead_us, charge, self.acquire(self.now, charge, n, lead_us))
        if grant.reply.waits_us:
            self.grants.append(grant)

    @precondition(lambda self: any(len(grant.slots_us) == 1 for grant in self.grants))
    @rule(which=st.integers(0, 3))
    def give_back(self, which: int) -> None:
        single = [grant for grant in self.grants if len(grant.slots_us) == 1]
        grant = single[-1 - which % len(single)]
        is_last = grant is self.grants[-1]
        ran_out = grant.reply.states[0].wait_us > 0
        taken_back = self.send_back(grant)
        assert taken_back == (is_last and ran_out) or (ran_out and self.is_like_the_last(grant))
        if taken_back:
            self.grants.remove(grant)
            self.compare_with_never_granted(saturated=grant.reply.waits_us[0] > grant.lead_us)

    def is_like_the_last(self, grant: Grant) -> bool:
        """Whether the last slots cannot be told from this one, because they are the same."""
        return bool(self.grants) and self.grants[-1].slots_us[-1] == grant.slots_us[0]

    def compare_with_never_granted(self, *, saturated: bool) -> None:
        """Grant the same on a counter that knows nothing of what was given back."""
        self.client.delete(REPLAYED, REPLAYED + ":log")
        is_same = True
        for grant in self.grants:
            charge = Charge(REPLAYED, self.policy, grant.charge.cost)
            reply = self.acquire(grant.now, charge, len(grant.slots_us), grant.lead_us)
            is_same = is_same and reply.waits_us == grant.reply.waits_us
        wait_us, replayed_us = (
            self.acquire(self.now, Charge(counter, self.policy), 1, 0, peek=1).states[0].wait_us
            for counter in (COUNTER, REPLAYED)
        )
        assert wait_us >= replayed_us - 2, "it grants nothing earlier than if the slot had not been granted"
        if saturated and is_same:
            assert wait_us <= replayed_us + 2

    def acquire(self, now: int, charge: Charge, n: int, lead_us: int, peek: int = 0) -> AcquireReply:
        options = AcquireOptions(n, HORIZON_US, lead_us, peek)
        return acquire_reply(
            self.call("acquire", now, acquire_call(Script(self.scripts["acquire"]), [charge], options))
        )

    def send_back(self, grant: Grant) -> int:
        script = Script(self.scripts["give_back_slot"])
        packed = give_back_slot_call(script, [grant.charge], grant.answer)
        return self.call("give_back_slot", self.now, packed)  # type: ignore[return-value] # it answers with one integer

    def call(self, name: str, now: int, packed: bytes) -> list[int]:
        self.client.hset("test:clock", mapping={"s": now // SECOND_US, "us": now % SECOND_US})
        self.client.script_load(self.scripts[name])
        words = packed.split(b"\r\n")[2::2]
        transaction = self.client.pipeline()
        transaction.evalsha(words[1].decode(), int(words[2]), *words[3:])
        for counter in (COUNTER, REPLAYED):  # Redis's own clock is not the test's
            transaction.persist(counter)
            transaction.persist(counter + ":log")
        reply: list[int] = transaction.execute()[0]
        return reply

    @invariant()
    def what_stands_is_within_the_rate(self) -> None:
        units = sorted(slot for grant in self.grants for slot in grant.slots_us for _ in range(grant.charge.cost))
        for i, j in combinations_with_replacement(range(len(units)), 2):
            stretch_us, count = units[j] - units[i], j - i + 1
            if self.policy.algorithm == "sliding_window":
                assert count <= LIMIT or stretch_us >= WINDOW_S * SECOND_US
            else:
                assert count * INTERVAL_US <= self.policy.burst * INTERVAL_US + stretch_us + count


@pytest.mark.parametrize("policy", [
    Policy(LIMIT, WINDOW_S, 2, 1),
    Policy(LIMIT, WINDOW_S, 5, 1),
    Policy(LIMIT, WINDOW_S, LIMIT, 1, "sliding_window"),
], ids=["small burst", "large burst", "sliding window"])  # fmt: skip
def test_a_slot_that_was_given_back_was_never_granted(redis_client: redis.Redis, policy: Policy) -> None:
    machine = type("Machine", (GivingBack,), {"client": redis_client, "policy": policy})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=scaled(50), stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
