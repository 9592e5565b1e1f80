"""Counting in this process alone, for as long as the shared counters are away."""

import math
import time
from collections.abc import Callable, Sequence

from cachetools import LRUCache

from app.limiter.policy import Charge, Policy, QuotaState, Verdict

COUNTERS = 100_000


class LocalLimiter:
    """GCRA in memory, each quota divided by the number of edges that share it; nothing is spent where one refuses."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._tats_us: LRUCache[str, float] = LRUCache(COUNTERS)

    def decide(self, charges: Sequence[Charge], edges: int) -> Verdict:
        """As the shared limiter, by what this edge has seen."""
        now = self._now_s() * 1e6
        shares = [_share(charge.policy, charge.cost, edges) for charge in charges]
        refused = [self._wait_us(charge, share, now) > 0 for charge, share in zip(charges, shares, strict=True)]
        allowed = not any(refuses and not charge.shadow for charge, refuses in zip(charges, refused, strict=True))
        states = []
        for charge, share, refuses in zip(charges, shares, refused, strict=True):
            interval, burst = share
            if allowed and not refuses:
                self._tats_us[charge.counter] = self._tat(charge, now) + interval * charge.cost
            owed = self._tat(charge, now) - now
            remaining = max(0, int((interval * burst - owed) / interval + 1e-9))
            wait_us = self._wait_us(charge, share, now)
            states.append(QuotaState(remaining, wait_us, math.ceil(owed), refuses, backlog=False))
        return Verdict(allowed, tuple(states))

    def _wait_us(self, charge: Charge, share: tuple[float, int], now: float) -> int:
        """Rounded up, so that who waits for it is served; what is no microsecond is the arithmetic's."""
        interval, burst = share
        wait = self._tat(charge, now) + interval * charge.cost - interval * burst - now
        return math.ceil(wait) if wait >= 1 else 0

    def _tat(self, charge: Charge, now: float) -> float:
        return max(now, self._tats_us.get(charge.counter, 0.0))


def _share(policy: Policy, cost: int, edges: int) -> tuple[float, int]:
    """An edge's emission interval and burst.

    A sliding window's share is halved again: GCRA can let a burst and a window's rate into one window.
    """
    parts = edges * (2 if policy.algorithm == "sliding_window" else 1)
    return policy.emission_interval_us * parts, max(cost, policy.burst // parts)
