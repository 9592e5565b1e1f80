"""The algorithms by which quotas are counted, by name.

To add one, write `app/limiter/lua/_algorithm_<name>.lua` (its functions are described in `_algorithms.lua`; acquire.lua
finds the file by its name) and add its `Algorithm` to `ALGORITHMS`. Everything else reads this table: the rule model
validates by it, the limiters send and divide quotas by it, and the denial cache ages refusals by it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from app.limiter.policy import CONCURRENCY, Policy


@dataclass(frozen=True, slots=True)
class Algorithm:
    """What differs between algorithms outside of Lua."""

    name: str
    lua_parameters: Callable[[Policy], tuple[float, int]]
    """The `interval_us` and `units` that its Lua part is given."""
    has_burst: bool = False
    """Whether `burst` bounds the units at once; otherwise `limit` does."""
    in_decide_script: bool = False
    """Whether decide.lua, the quick way for live requests, knows it."""
    refills_evenly: bool = False
    """Whether one unit becomes free every emission interval, so that what remains later can be computed."""
    takes_corrections: bool = False
    """Whether what a request has cost can be corrected afterwards, by correct.lua."""
    max_limit: int | None = None
    """The highest `limit` that a rule may have; None where there is no bound."""
    local_divisor: int = 1
    """By how much an edge that counts alone, by GCRA, divides the quota besides the number of edges."""


_ALL = (
    Algorithm(
        "gcra",
        lambda policy: (policy.emission_interval_us, policy.burst),
        has_burst=True,
        in_decide_script=True,
        refills_evenly=True,
        takes_corrections=True,
    ),
    Algorithm(
        "sliding_window",
        lambda policy: (policy.counted_window_us, policy.limit),
        max_limit=10_000,  # the log holds every unit
        local_divisor=2,  # GCRA can let both a burst and a window's worth of units into one window
    ),
    Algorithm(
        CONCURRENCY,
        lambda policy: (policy.window_s * 1e6, policy.limit),
        max_limit=10_000,  # the set holds every request in flight
    ),
)

ALGORITHMS = {algorithm.name: algorithm for algorithm in _ALL}

LIMIT_ALGORITHMS = tuple(algorithm.name for algorithm in _ALL if algorithm.name != CONCURRENCY)
"""The algorithms that a rule may name for a limit."""
