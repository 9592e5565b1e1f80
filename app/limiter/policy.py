"""Quotas, what is charged to them, and what the limiter answers: plain values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from app.limiter.keys import window_us

CONCURRENCY = "concurrency"
"""The algorithm that counts requests in flight."""

LEASE_S = 12.0
"""How long a place among the requests in flight is leased. If its process is killed, it is free again after this time
and the horizon of a slot, 15 s at most.
"""


@dataclass(frozen=True, slots=True)
class Policy:
    """A quota: `limit` units a window, at most `burst` at once. `revision` orders the versions of one rule.

    `algorithm` is a name in app/limiter/algorithms.py. `name`: what clients call it. `suffix`: what follows the rule's
    counter in the key of this quota's. `has_siblings`: its rule has more than one quota. `cost`: what every request
    costs this quota; None: what the request costs by the rule. `headroom_ms`: by how much longer the window counts.
    """

    limit: int
    window_s: float
    burst: int
    revision: int
    algorithm: str = "gcra"
    name: str = ""
    suffix: str = ""
    has_siblings: bool = False
    cost: int | None = None
    headroom_ms: int = 0

    @property
    def counted_window_us(self) -> float:
        """The window as it counts, in microseconds."""
        return self.window_s * 1e6 + self.headroom_ms * 1000

    @property
    def emission_interval_us(self) -> float:
        """Microseconds between two units at the permitted rate (GCRA's E)."""
        return self.counted_window_us / self.limit

    @property
    def limits_concurrency(self) -> bool:
        """Whether it counts requests in flight, `limit` at most; `window_s` is then the lease of a place."""
        return self.algorithm == CONCURRENCY

    @property
    def window_text(self) -> str:
        """The window in microseconds as the counter holds it; one of several quotas of a rule is known by the `m`."""
        return f"{window_us(self.window_s)}{'m' if self.has_siblings else ''}"


class CostHeader(NamedTuple):
    """The header or trailer in which an answer states what its request really cost; `name` is in lower case.

    `exposed`: clients see it.
    """

    name: bytes
    exposed: bool


@dataclass(frozen=True, slots=True, eq=False)
class Charge:
    """What one request costs one quota. Compared by identity, so that caches can use it as a key at no cost.

    `counter` is the Redis key of the counter (app/limiter/keys.py). `shadow`: the quota is counted and reported, but it
    never refuses. `markers`: the keys of the backlog markers that hold back a live request. `stated_in`: by what of the
    answer the cost is corrected.
    """

    counter: str
    policy: Policy
    cost: int = 1
    shadow: bool = False
    markers: tuple[str, ...] = ()
    stated_in: CostHeader | None = None

    @property
    def blocked_by_backlog(self) -> bool:
        """Whether a live request must not pass jobs that wait."""
        return bool(self.markers)

    @property
    def holds_place(self) -> bool:
        """Whether the request gets a place among those in flight, which must be given back."""
        return self.policy.limits_concurrency


class Correction(NamedTuple):
    """How many units more a request has cost a quota than it was charged; less if negative."""

    charge: Charge
    units: int


class QuotaState(NamedTuple):
    """One quota after a decision, in units and microseconds.

    `wait_us`: until another request of this cost is allowed, 0 if it is now. `reset_us`: until all units are free.
    `refused`: the quota had too few units. `backlog`: a backlog marker stood in the way. `local`: this process has
    counted alone, because the shared counters could not be reached.
    """

    remaining: int
    wait_us: int
    reset_us: int
    refused: bool
    backlog: bool
    local: bool = False


class Verdict(NamedTuple):
    """The answer to a live request: whether it is allowed, and the state of each quota in the order of the charges."""

    allowed: bool
    states: tuple[QuotaState, ...]


class TurnRequest(NamedTuple):
    """What a flow asks for when its turn comes: up to `n` slots of all `charges`.

    The first `shared` of them are charged to the rule whose counters the flows share. `marker`: the key of the backlog
    marker to set, unless it is empty, and for how long.
    """

    charges: Sequence[Charge]
    n: int
    marker: str
    marker_ttl_s: float
    shared: int = 1


@dataclass(frozen=True, slots=True)
class Slots:
    """The answer to a worker: the granted slots, in order, as waits from the moment at which they were granted.

    `next_wait_us`: from that moment until the next slot after these. `given_us`: that moment by the counters' clock.
    `quota_waits_us`: how long each quota by itself lets the next slot wait, in the order of the charges.
    """

    waits_us: tuple[int, ...]
    next_wait_us: int
    given_us: int
    quota_waits_us: tuple[int, ...] = ()
