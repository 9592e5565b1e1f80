"""Measured values, and the conclusions drawn from them: pure functions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

Quantity = Literal["per_s", "cpu_us", "p50_us"]


@dataclass(frozen=True)
class Sample:
    """One run: requests or jobs per second, the server's CPU time for each, and the median latency."""

    per_s: float
    cpu_us: float
    p50_us: float | None = None


@dataclass(frozen=True)
class Row:
    """One line of a table: the samples of all rounds."""

    name: str
    samples: tuple[Sample, ...]

    def values(self, quantity: Quantity) -> list[float]:
        """The value of each round, in order. Empty if this quantity was not measured."""
        return [value for sample in self.samples if (value := getattr(sample, quantity)) is not None]


@dataclass(frozen=True)
class TargetCheck:
    """A target and the value that was measured for it."""

    what: str
    value: float
    target: float
    at_least: bool = True
    unit: str = "x"

    @property
    def met(self) -> bool:
        """Whether the target is met."""
        return self.value >= self.target if self.at_least else self.value <= self.target


def ratio(of: Row, over: Row, quantity: Quantity = "per_s") -> float:
    """The median of the ratios of each round, which a machine whose speed drifts hardly affects."""
    pairs = zip(of.values(quantity), over.values(quantity), strict=True)
    return median(one / other for one, other in pairs)


def difference(of: Row, over: Row, quantity: Quantity) -> float:
    """The median of the differences of each round."""
    pairs = zip(of.values(quantity), over.values(quantity), strict=True)
    return median(one - other for one, other in pairs)


def percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of values in ascending order. `share`: between 0 and 1."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def within(times_s: Sequence[float], seconds: float) -> int:
    """The number of times within `seconds` of the first, including the first. The times are in ascending order."""
    return sum(1 for at in times_s if at < times_s[0] + seconds)


def worst_window(times_s: Sequence[float], seconds: float) -> int:
    """The highest number of times in any window of this length. The times are in ascending order."""
    worst = first = 0
    for last, at in enumerate(times_s):
        while at - times_s[first] >= seconds:
            first += 1
        worst = max(worst, last - first + 1)
    return worst
