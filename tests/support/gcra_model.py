"""GCRA over several quotas as plain Python: what acquire.lua and decide.lua of app/limiter are held against."""

import math
from dataclasses import dataclass, field

ROUNDING_US = 1e-3


@dataclass
class Counter:
    tat: float
    e: float
    burst: int
    revision: int


@dataclass(frozen=True)
class Quota:
    name: str
    e: float
    burst: int
    revision: int
    cost: int
    shadow: bool = False
    blocked_by_backlog: bool = False


@dataclass
class Answer:
    waits: list[int]
    next_wait: int
    remaining: list[int]
    refused: list[bool]
    backlog: list[bool]


@dataclass
class Model:
    counters: dict[str, Counter] = field(default_factory=dict)
    markers: set[str] = field(default_factory=set)

    def acquire(self, now: int, quotas: list[Quota], n: int, horizon: int, lead: int) -> Answer:
        counters = [self._current(quota, now) for quota in quotas]
        blocked = any(quota.blocked_by_backlog and quota.name in self.markers for quota in quotas)
        waits: list[int] = []
        shadow_refused = [False] * len(quotas)
        while True:
            slot = self._slot(quotas, counters, horizon, lead)
            if blocked or len(waits) == n or slot > horizon:
                break
            waits.append(slot)
            for i, (quota, counter) in enumerate(zip(quotas, counters, strict=True)):
                if quota.shadow and _earliest(quota, counter, horizon) > slot:
                    shadow_refused[i] = True
                else:
                    counter.tat = max(counter.tat, slot) + counter.e * quota.cost
        answer = Answer(waits, slot, [], [], [])
        for i, (quota, counter) in enumerate(zip(quotas, counters, strict=True)):
            wait = max(0, math.ceil(_earliest(quota, counter, horizon)))
            owed = max(0.0, counter.tat)
            answer.remaining.append(max(0, math.floor((counter.e * counter.burst - owed + ROUNDING_US) / counter.e)))
            answer.refused.append(shadow_refused[i] or (not waits and wait > horizon))
            answer.backlog.append(quota.blocked_by_backlog and quota.name in self.markers)
            counter.tat = now + math.ceil(counter.tat)
            if counter.tat > now:
                self.counters[quota.name] = counter
        return answer

    def _current(self, quota: Quota, now: int) -> Counter:
        """With `tat` relative to now."""
        stored = self.counters.get(quota.name)
        if stored is None:
            return Counter(0, quota.e, quota.burst, quota.revision)
        if stored.revision >= quota.revision:
            return Counter(stored.tat - now, stored.e, stored.burst, stored.revision)
        owed = min(max(0, stored.tat - now) / stored.e, quota.burst)
        return Counter(math.ceil(owed * quota.e), quota.e, quota.burst, quota.revision)

    @staticmethod
    def _slot(quotas: list[Quota], counters: list[Counter], horizon: int, lead: int) -> int:
        slot: float = lead
        for quota, counter in zip(quotas, counters, strict=True):
            if not quota.shadow:
                slot = max(slot, _earliest(quota, counter, horizon))
        return math.ceil(slot)


def _earliest(quota: Quota, counter: Counter, horizon: int) -> float:
    if quota.cost > counter.burst:
        return horizon + counter.e * quota.cost
    return counter.tat + counter.e * quota.cost - counter.e * counter.burst - ROUNDING_US
