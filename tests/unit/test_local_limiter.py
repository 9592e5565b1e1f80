"""Counting in one edge alone: each quota's share, atomic over several."""

from hypothesis import given
from hypothesis import strategies as st

from app.limiter.local_limiter import LocalLimiter
from app.limiter.policy import CONCURRENCY, Charge, Policy


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def charge(counter: str = "a", limit: int = 10, cost: int = 1, **more: object) -> Charge:
    algorithm = "sliding_window" if more.get("sliding") else "gcra"
    return Charge(counter, Policy(limit, 1, limit, 1, algorithm), cost, shadow=bool(more.get("shadow")))


def test_an_edge_has_its_share() -> None:
    for edges, share in ((1, 10), (2, 5), (3, 3), (100, 1)):
        limiter = LocalLimiter(Clock())
        assert sum(limiter.decide([charge()], edges).allowed for _ in range(50)) == share


def test_nothing_is_spent_where_one_refuses() -> None:
    limiter = LocalLimiter(Clock())
    assert limiter.decide([charge("small", 1)], 1).allowed
    for _ in range(20):
        verdict = limiter.decide([charge("large"), charge("small", 1)], 1)
        assert not verdict.allowed
        assert [state.refused for state in verdict.states] == [False, True]
    assert limiter.decide([charge("large", cost=10)], 1).allowed


def test_what_is_said_after_spending_is_about_the_next() -> None:
    limiter = LocalLimiter(Clock())
    waits = [limiter.decide([charge(limit=2)], 1).states[0].wait_us for _ in range(3)]
    assert waits == [0, 500_000, 500_000]


def test_an_edge_alone_counts_its_own_requests_in_flight() -> None:
    held = 0
    limiter = LocalLimiter(Clock(), lambda _: held)
    places = Charge("a:places", Policy(4, 12, 4, 1, CONCURRENCY))
    for edges, share in ((1, 4), (2, 2), (9, 1)):
        for held in range(6):
            verdict = limiter.decide([charge(limit=1000), places], edges)
            assert verdict.allowed == (held < share)
            assert verdict.states[1].refused == (held >= share)
            assert verdict.states[1].remaining == max(0, share - held)


def test_shadow_refuses_nothing() -> None:
    limiter = LocalLimiter(Clock())
    assert all(limiter.decide([charge("s", 1, shadow=True)], 1).allowed for _ in range(5))


@given(st.lists(st.integers(0, 300), min_size=1, max_size=60), st.integers(1, 4), st.booleans())
def test_edges_together_stay_within_the_quota(steps_ms: list[int], edges: int, sliding: bool) -> None:
    clock, limit = Clock(), 12
    limiters = [LocalLimiter(clock) for _ in range(edges)]
    granted = []
    for step in steps_ms:
        clock.now += step / 1000
        for limiter in limiters:
            granted += [
                clock.now for _ in range(3) if limiter.decide([charge(limit=limit, sliding=sliding)], edges).allowed
            ]
    for i, start in enumerate(granted):
        for j in range(i, len(granted)):
            units, stretch = j - i + 1, granted[j] - start
            assert units <= limit + limit * stretch + 1e-3
            if sliding and stretch < 1:
                assert units <= limit


def test_what_was_spent_stays_spent_when_the_rule_or_the_number_of_edges_changes() -> None:
    limiter = LocalLimiter(Clock())
    slow, fast = Policy(10, 3600, 10, 1), Policy(10, 1, 10, 2)
    assert all(limiter.decide([Charge("a", slow)], 1).allowed for _ in range(8))
    assert limiter.decide([Charge("a", fast)], 1).states[0] == (1, 0, 900_000, False, False, True)
    assert not limiter.decide([Charge("a", fast, cost=2)], 1).allowed
    assert not limiter.decide([Charge("a", fast)], 2).allowed, "a half of the quota is spent"
    assert limiter.decide([Charge("a", fast)], 1).allowed
