"""The poll limit: how often one caller may ask about its jobs and limits, or repeat a request that is a job already."""

import math
import time
from collections.abc import Callable

from cachetools import LRUCache

from app.errors import TooManyRequests
from app.identity.caller import Caller
from app.jobs.model import owner_of
from app.limiter import gcra

MAX_CALLERS = 10_000
"""How many callers are counted; beyond it the one that asked longest ago is forgotten."""

ROUNDING_S = 1e-6
"""Floating-point errors in times are smaller than this."""


class PollLimit:
    """At most `per_s` requests a second from one caller, a second's worth at once, counted by GCRA in each edge.

    A request that costs as much as several others counts as so many, but never as more than a second's worth.
    """

    def __init__(self, per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._interval_s = 1 / per_s
        self._burst = max(1.0, per_s)
        self._tats_s: LRUCache[tuple[str, str], float] = LRUCache(MAX_CALLERS)

    def spend(self, caller: Caller, requests: int = 1) -> None:
        """Count a request of this caller that costs as much as `requests` others; raises TooManyRequests."""
        owner = owner_of(caller.issuer, caller.subject)
        key = ("owner", owner) if owner else ("ip", caller.address)
        now, tat = self._clock(), self._tats_s.get(key, 0.0)
        cost = min(requests, self._burst)
        wait_s = gcra.wait(tat, now, self._interval_s, self._burst, cost)
        if wait_s > ROUNDING_S:
            raise TooManyRequests("You ask too often.", retry_after_s=math.ceil(wait_s))
        self._tats_s[key] = gcra.spend(tat, now, self._interval_s, cost)
