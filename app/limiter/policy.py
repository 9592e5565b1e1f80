"""Quotas and what is charged to them: plain values."""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

Algorithm = Literal["gcra", "sliding_window"]


@dataclass(frozen=True, slots=True)
class Policy:
    """A quota: `limit` units a window, at most `burst` at once. `revision` orders the versions of one rule."""

    limit: int
    window_s: float
    burst: int
    revision: int
    algorithm: Algorithm = "gcra"

    @property
    def emission_interval_us(self) -> float:
        """Microseconds between two units at the permitted rate (GCRA's E)."""
        return self.window_s * 1e6 / self.limit


@dataclass(frozen=True, slots=True, eq=False)
class Charge:
    """What one request costs one quota. Known by identity, so that what is asked often is written once.

    `counter` names the counter (app/limiter/keys.py). `shadow`: decided and counted, never enforced.
    `blocked_by_backlog`: live requests may not pass the flow's waiting jobs.
    """

    counter: str
    policy: Policy
    cost: int = 1
    shadow: bool = False
    blocked_by_backlog: bool = False


class QuotaState(NamedTuple):
    """One quota after a decision. `wait_us`: until a request of this cost is allowed; 0 where it is allowed now."""

    remaining: int
    wait_us: int
    reset_us: int
    refused: bool
    backlog: bool

    @property
    def wait_s(self) -> int:
        """Whole seconds, rounded up, at least 1: what `Retry-After` says."""
        return max(1, math.ceil(self.wait_us / 1e6))


class Verdict(NamedTuple):
    """The answer to a live request: allowed or not, and each quota's state in the order of the charges."""

    allowed: bool
    states: tuple[QuotaState, ...]


@dataclass(frozen=True, slots=True)
class Slots:
    """The answer to a worker: the slots granted, as waits from the moment of the answer, in order.

    `next_wait_us`: from then until the slot after the last one granted.
    `given_us`: that moment, by the counters' clock.
    """

    waits_us: tuple[int, ...]
    next_wait_us: int
    given_us: int
