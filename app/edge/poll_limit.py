"""The poll limit: how often one caller may ask about its jobs and limits."""

import math
import time
from collections.abc import Callable

from cachetools import LRUCache

from app.errors import TooManyRequests
from app.identity.caller import Caller
from app.jobs.model import owner_of

CALLERS = 10_000
"""How many callers' polls are counted; of more, the one that asked longest ago is forgotten."""


CLOCK_ERROR_S = 1e-6
"""What the arithmetic of times may make of nothing."""


class PollLimit:
    """At most so many requests a second from one caller, and a second's worth at once; counted in this edge."""

    def __init__(self, per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._interval_s = 1 / per_s
        self._burst_s = max(1.0, self._interval_s)
        self._free_at_s: LRUCache[tuple[str, str], float] = LRUCache(CALLERS)

    def spend(self, caller: Caller) -> None:
        """Raises TooManyRequests."""
        owner = owner_of(caller.issuer, caller.subject)
        key = ("owner", owner) if owner else ("ip", caller.address)
        now = self._clock()
        free_at = max(now, self._free_at_s.get(key, 0.0)) + self._interval_s
        wait_s = free_at - self._burst_s - now
        if wait_s > CLOCK_ERROR_S:
            raise TooManyRequests("You ask too often.", retry_after_s=math.ceil(wait_s))
        self._free_at_s[key] = free_at
