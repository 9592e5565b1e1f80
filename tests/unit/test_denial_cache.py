"""Refusals from memory, held against the model of the counters: none that the counters would not have given."""

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.decision import RuleResult, quotas_of
from app.edge import denial_cache
from app.edge.denial_cache import MAX_AGE_S, REFRESH_INTERVAL_S, DenialCache
from app.limiter.policy import QuotaState
from app.rules.active import ActiveRule
from app.rules.match import Match
from app.rules.model import parse_rule
from tests.support.examples import scaled
from tests.support.gcra_model import Model, Quota

START_US = 1_700_000_000_000_000


def match(rule_id: str = "r", revision: int = 1, **fields: Any) -> Match:  # noqa: ANN401
    base = {"rule_id": rule_id, "key_type": "user", "key_value": "*", "limit": 5, "window_seconds": 60}
    return Match(ActiveRule(parse_rule(base | fields), revision), f"user:{rule_id}")


class Known:
    """DenialCache by a clock that the test sets."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.denial_cache = DenialCache(lambda: self.now_s)

    def of(self, *matches: Match) -> tuple[RuleResult, ...] | None:
        return self.denial_cache.get(matches, counters(matches))

    def learn(self, *results: RuleResult) -> None:
        self.denial_cache.remember(results, counters([one.match for one in results]), self.now_s)


def counters(matches: Any) -> tuple[str, ...]:  # noqa: ANN401
    return tuple(charge.counter for charge in quotas_of(matches).charges)


def refused(it: Match, wait_us: int, remaining: int = 0, reset_us: int = 60_000_000) -> RuleResult:
    return RuleResult(it, it.rule.policies[0], QuotaState(remaining, wait_us, reset_us, refused=True, backlog=False))


def passed(it: Match, remaining: int = 3) -> RuleResult:
    return RuleResult(it, it.rule.policies[0], QuotaState(remaining, 0, 24_000_000, refused=False, backlog=False))


def test_a_refusal_counts_down_and_ends_with_its_wait() -> None:
    known, it = Known(), match()
    assert known.of(it) is None
    known.learn(refused(it, 500_000))
    for passed_us in (0, 100_000, 200_000, 400_000):
        known.now_s = 1000 + passed_us / 1e6
        found = known.of(it)
        assert found is not None
        assert found[0].state.wait_us == pytest.approx(500_000 - passed_us, abs=1)
        assert found[0].state.reset_us == pytest.approx(60_000_000 - passed_us, abs=1)
    known.now_s = 1000.5
    assert known.of(it) is None


def test_nothing_is_known_for_longer_than_lost_counters_may_matter() -> None:
    known, it = Known(), match()
    known.learn(refused(it, 3_600_000_000))
    known.now_s = 1000 + MAX_AGE_S - 0.001
    assert known.of(it) is not None
    known.now_s = 1000 + MAX_AGE_S
    assert known.of(it) is None


def test_the_same_rule_read_again_is_another() -> None:
    known, it = Known(), match()
    known.learn(refused(it, 500_000))
    assert known.of(match(revision=2, limit=100)) is None
    assert known.of(it) is None, "and what was known by the old one is gone"


@pytest.mark.parametrize("fields", [{"on_limit": "defer"}, {"shadow": True}])
@pytest.mark.parametrize("refuses", [True, False])
def test_where_a_rule_defers_or_is_a_shadow_the_counters_are_asked(fields: dict[str, Any], refuses: bool) -> None:
    known, rejecting, other = Known(), match("a"), match("b", **fields)
    known.learn(refused(rejecting, 500_000), refused(other, 500_000) if refuses else passed(other))
    assert known.of(rejecting, other) is None
    known.learn(refused(other, 500_000))
    assert known.of(other) is None


def test_of_several_rules_it_is_known_until_the_first_would_let_it_pass() -> None:
    known, one, two = Known(), match("a"), match("b")
    known.learn(refused(one, 300_000), refused(two, 600_000))
    known.now_s = 1000.29
    found = known.of(one, two)
    assert found is not None
    assert [each.refuses for each in found] == [True, True]
    assert known.of(one) is None, "another request, to which only one of them applies"
    known.now_s = 1000.3
    assert known.of(one, two) is None


def test_what_passes_is_not_kept() -> None:
    known, it = Known(), match()
    known.learn(passed(it))
    assert known.of(it) is None


def test_what_is_said_is_one_object_for_a_while() -> None:
    known, it = Known(), match()
    known.learn(refused(it, 900_000))
    known.now_s += 1.1 * REFRESH_INTERVAL_S
    first = known.of(it)
    known.now_s += REFRESH_INTERVAL_S / 2
    assert known.of(it) is first
    known.now_s += REFRESH_INTERVAL_S
    later = known.of(it)
    assert later is not None
    assert later is not first


def test_it_is_bounded_and_forgets_who_was_not_seen_for_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(denial_cache, "MAX_DENIALS", 3)
    known, matches = Known(), [match(f"r{number}") for number in range(5)]
    for it in matches[:3]:
        known.learn(refused(it, 500_000))
    assert known.of(matches[0]) is not None
    for it in matches[3:]:
        known.learn(refused(it, 500_000))
    assert [known.of(it) is not None for it in matches] == [True, False, False, True, True]


@dataclass
class Edge:
    """Asks the model of the counters as an edge asks Redis."""

    known: Known
    model: Model

    def ask(self, matches: list[Match]) -> tuple[RuleResult, ...]:
        answer = self.model.acquire(self._now_us, [quota(each) for each in matches], 1, 0, 0)
        return self._judged(matches, answer)

    def peek(self, matches: list[Match]) -> tuple[RuleResult, ...]:
        held = Model({name: replace_counter(counter) for name, counter in self.model.counters.items()})
        return self._judged(matches, held.acquire(self._now_us, [quota(each) for each in matches], 1, 0, 0))

    @property
    def _now_us(self) -> int:
        return START_US + round(self.known.now_s * 1e6)

    def _judged(self, matches: list[Match], answer: Any) -> tuple[RuleResult, ...]:  # noqa: ANN401
        found = []
        for number, each in enumerate(matches):
            name = quota(each).name
            counter = self.model.counters.get(name)
            reset = max(0, round(counter.tat) - self._now_us) if counter else 0
            policy = each.rule.policies[0]
            tat = reset
            wait = max(0, round(tat + policy.emission_interval_us * (each.rule.cost - policy.burst)))
            found.append(
                RuleResult(
                    each,
                    policy,
                    QuotaState(answer.remaining[number], wait, reset, answer.refused[number], backlog=False),
                )
            )
        return tuple(found)


def replace_counter(counter: Any) -> Any:  # noqa: ANN401
    return type(counter)(counter.tat, counter.e, counter.burst, counter.revision)


def quota(it: Match) -> Quota:
    policy = it.rule.policies[0]
    name = quotas_of([it]).charges[0].counter
    return Quota(name, policy.emission_interval_us, policy.burst, policy.revision, it.rule.cost)


STEPS = st.lists(
    st.tuples(
        st.integers(0, 400_000),  # microseconds that pass
        st.sampled_from([("a",), ("b",), ("a", "b")]),  # which rules apply
        st.sampled_from(["us", "us", "us", "another edge", "rule"]),
    ),
    max_size=60,
)


@settings(max_examples=scaled(300))
@given(
    steps=STEPS,
    costs=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    limits=st.tuples(st.integers(3, 9), st.integers(3, 40)),
)
def test_who_is_refused_from_memory_the_counters_would_have_refused(
    steps: list[tuple[int, tuple[str, ...], str]], costs: tuple[int, int], limits: tuple[int, int]
) -> None:
    edge = Edge(Known(), Model())
    rules = {
        name: match(name, limit=limit, window_seconds=2, cost=cost)
        for name, cost, limit in zip("ab", costs, limits, strict=True)
    }
    for number, (us, names, who) in enumerate(steps):
        edge.known.now_s = round(edge.known.now_s + us / 1e6, 6)
        applying = [rules[name] for name in names]
        if who == "rule":
            old = rules[names[0]].rule
            limit = old.policies[0].limit
            rules[names[0]] = match(names[0], number + 2, limit=limit + 10, window_seconds=2, cost=old.cost)
        elif who == "another edge":
            edge.ask(applying)
        elif (found := edge.known.of(*applying)) is None:
            edge.known.learn(*edge.ask(applying))
        else:
            truth = edge.peek(applying)
            for said, true in zip(found, truth, strict=True):
                if said.state.refused:
                    assert true.state.refused, "the counters would have refused"
