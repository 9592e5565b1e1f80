"""The limiter in this process alone, for as long as the shared counters can't be reached."""

import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from cachetools import LRUCache

from app.limiter import gcra
from app.limiter.algorithms import ALGORITHMS
from app.limiter.policy import Charge, Policy, QuotaState, Verdict

MAX_COUNTERS = 100_000


class _Share(NamedTuple):
    """One edge's part of a quota."""

    interval_us: float
    burst: int


class _Debt(NamedTuple):
    """What is owed: until when, where a unit takes so long."""

    tat_us: float
    interval_us: float


class LocalLimiter:
    """GCRA in memory for every algorithm of limits, each quota divided by the number of edges that share it.

    `held` says how many requests that a counter counts this edge has in flight.
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic, held: Callable[[str], int] = lambda _: 0) -> None:
        self._now_s = now_s
        self._held = held
        self._debts: LRUCache[str, _Debt] = LRUCache(MAX_COUNTERS)

    def decide(self, charges: Sequence[Charge], edges: int, *, spend: bool = True) -> Verdict:
        """Decide a live request by what this edge alone has counted; nothing is spent if a quota refuses.

        Without `spend` nothing is spent in any case.
        """
        now = self._now_s() * 1e6
        shares = [_share(charge.policy, charge.cost, edges) for charge in charges]
        refused = [self._wait_us(charge, share, now) > 0 for charge, share in zip(charges, shares, strict=True)]
        allowed = not any(refuses and not charge.shadow for charge, refuses in zip(charges, refused, strict=True))
        states = []
        for charge, share, refuses in zip(charges, shares, refused, strict=True):
            if charge.holds_place:
                states.append(QuotaState(max(0, self._free(charge, share)), 0, 0, refuses, backlog=False, local=True))
                continue
            tat = self._tat_us(charge, share, now)
            if spend and allowed and not refuses:
                tat = gcra.spend(tat, now, share.interval_us, charge.cost)
                self._debts[charge.counter] = _Debt(tat, share.interval_us)
            remaining = gcra.remaining(tat, now, share.interval_us, share.burst)
            wait_us, reset_us = self._wait_us(charge, share, now), math.ceil(max(0.0, tat - now))
            states.append(QuotaState(remaining, wait_us, reset_us, refuses, backlog=False, local=True))
        return Verdict(allowed, tuple(states))

    def _free(self, charge: Charge, share: _Share) -> int:
        """How many more requests may be in flight from this edge alone."""
        return share.burst - self._held(charge.counter)

    def _tat_us(self, charge: Charge, share: _Share, now: float) -> float:
        """When nothing will be owed; what is owed is converted if the rule or the number of edges has changed.

        It is a burst at most, so that a rule whose burst becomes smaller refuses nobody for longer.
        """
        debt = self._debts.get(charge.counter)
        if debt is None:
            return 0.0
        if debt.interval_us == share.interval_us:
            return min(debt.tat_us, now + charge.policy.burst * share.interval_us)
        return now + min(max(0.0, debt.tat_us - now) / debt.interval_us, share.burst) * share.interval_us

    def _wait_us(self, charge: Charge, share: _Share, now: float) -> int:
        """Rounded up, so that a request after this wait is allowed; less than 1 us is a rounding error."""
        if charge.holds_place:
            return 1 if self._free(charge, share) < 1 else 0
        tat = self._tat_us(charge, share, now)
        wait = gcra.wait(tat, now, share.interval_us, share.burst, charge.cost)
        return math.ceil(wait) if wait >= 1 else 0


def _share(policy: Policy, cost: int, edges: int) -> _Share:
    parts = edges * ALGORITHMS[policy.algorithm].local_divisor
    return _Share(policy.emission_interval_us * parts, max(cost, policy.burst // parts))
