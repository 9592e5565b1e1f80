"""Replays a caller's requests against a rule, as if the rule had been in force: pure.

The replay begins with unspent counters. It knows requests as they came, so a quota of requests in flight is left out,
and what answers would have corrected too. Deferred requests take their units when their turns come, ahead of later
ones, unless the rule lets live requests pass them.
"""

from bisect import bisect_left
from collections.abc import Sequence
from enum import StrEnum

from app.limiter import gcra
from app.limiter.policy import Policy
from app.rules.active import ActiveRule
from app.traffic.samples import Arrival


class Outcome(StrEnum):
    """What a rule does with a request. `UNTOUCHED`: the rule does not apply to it."""

    FORWARDED = "forwarded"
    REJECTED = "rejected"
    DEFERRED = "deferred"
    BLOCKED = "blocked"
    UNTOUCHED = "untouched"


def replay(rule: ActiveRule, arrivals: Sequence[Arrival]) -> list[Outcome]:
    """Return what the rule does with each of one caller's requests, which are in the order of their times."""
    replayed = _Replay(rule)
    return [replayed.outcome_of(arrival) for arrival in arrivals]


class _Replay:
    """One caller's counters while its requests are replayed."""

    def __init__(self, rule: ActiveRule) -> None:
        self._rule = rule
        self._quotas = [_quota_of(policy) for policy in rule.policies if not policy.limits_concurrency]

    def outcome_of(self, arrival: Arrival) -> Outcome:
        rule = self._rule
        if rule.shadow or not _applies(rule, arrival):
            return Outcome.UNTOUCHED
        if not rule.has_quota:
            return Outcome.BLOCKED if rule.blocks else Outcome.FORWARDED
        now = arrival.at_s
        cost = min(arrival.cost, rule.max_cost) if rule.cost_header else rule.cost
        wait_s = max((quota.wait_s(now, cost) for quota in self._quotas), default=0.0)
        if rule.always_defers:
            return Outcome.DEFERRED
        if wait_s > 0 and (rule.rejects or wait_s > rule.queue.max_wait_seconds):
            return Outcome.REJECTED
        if wait_s <= 0 or not rule.overtaking:
            for quota in self._quotas:
                quota.spend(now, cost)
        return Outcome.DEFERRED if wait_s > 0 else Outcome.FORWARDED


class _Gcra:
    """A counter by GCRA, in seconds."""

    def __init__(self, policy: Policy) -> None:
        self._interval_s = policy.emission_interval_us / 1e6
        self._burst = policy.burst
        self._own_cost = policy.cost
        self._tat_s = 0.0

    def wait_s(self, now_s: float, cost: int) -> float:
        """How long until the request conforms; not positive if it conforms now."""
        return gcra.wait(self._tat_s, now_s, self._interval_s, self._burst, self._own_cost or cost)

    def spend(self, now_s: float, cost: int) -> None:
        """Take the units of a request, now or when its turn comes."""
        self._tat_s = gcra.spend(self._tat_s, now_s, self._interval_s, self._own_cost or cost)


class _SlidingWindow:
    """An exact log: at which times units were taken, and how many had been taken in all by then."""

    def __init__(self, policy: Policy) -> None:
        self._window_s = policy.counted_window_us / 1e6
        self._limit = policy.limit
        self._own_cost = policy.cost
        self._times_s: list[float] = []
        self._totals: list[int] = []
        self._first = 0
        self._gone = 0

    def wait_s(self, now_s: float, cost: int) -> float:
        """How long until the request conforms; not positive if it conforms now."""
        while self._first < len(self._times_s) and self._times_s[self._first] <= now_s - self._window_s:
            self._gone = self._totals[self._first]
            self._first += 1
        must_be_gone = self._total + (self._own_cost or cost) - self._limit
        if must_be_gone <= self._gone or self._first == len(self._times_s):
            return 0.0
        last = min(bisect_left(self._totals, must_be_gone, lo=self._first), len(self._times_s) - 1)
        return self._times_s[last] + self._window_s - now_s

    def spend(self, now_s: float, cost: int) -> None:
        """Take the units of a request, now or when its turn comes."""
        self._times_s.append(now_s + max(0.0, self.wait_s(now_s, cost)))
        self._totals.append(self._total + (self._own_cost or cost))

    @property
    def _total(self) -> int:
        return self._totals[-1] if self._totals else 0


def _quota_of(policy: Policy) -> _Gcra | _SlidingWindow:
    return _SlidingWindow(policy) if policy.algorithm == "sliding_window" else _Gcra(policy)


def _applies(rule: ActiveRule, arrival: Arrival) -> bool:
    """Whether the rule is about this method and, in every form in which it may be read, this path."""
    if rule.methods and arrival.method not in rule.methods:
        return False
    prefix = rule.path_prefix
    if prefix is None or prefix == "/":
        return True
    return all(path == prefix or path.startswith(f"{prefix}/") for path in arrival.paths)
