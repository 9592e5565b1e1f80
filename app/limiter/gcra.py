"""GCRA, the generic cell rate algorithm (ITU-T I.371), for what one process counts by itself; all functions are pure.

A quota has an emission interval (the time between two units) and a burst in units. Its whole state is the theoretical
arrival time, `tat`: the time at which nothing will be owed any more. Any unit of time will do, if all times use it.
app/limiter/lua/_gcra.lua is the same algorithm for the shared counters.
"""

import math

ROUNDING_UNITS = 1e-9
"""Floating-point errors in numbers of units are smaller than this."""


def wait(tat: float, now: float, interval: float, burst: float, cost: float = 1) -> float:
    """How long until a request of `cost` units conforms; zero or negative if it conforms now."""
    return max(tat, now) + interval * (cost - burst) - now


def spend(tat: float, now: float, interval: float, cost: float = 1) -> float:
    """The theoretical arrival time after a request of `cost` units at `now`."""
    return max(tat, now) + interval * cost


def remaining(tat: float, now: float, interval: float, burst: float) -> int:
    """How many whole units are left."""
    return max(0, math.floor(burst - max(0.0, tat - now) / interval + ROUNDING_UNITS))
