"""What was measured, and what follows from it; pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

Quantity = Literal["per_s", "cpu_us", "p50_us"]


@dataclass(frozen=True)
class Sample:
    """One run: requests (or jobs) a second, CPU of the server's process for each, the median latency."""

    per_s: float
    cpu_us: float
    p50_us: float | None = None


@dataclass(frozen=True)
class Row:
    """One line of the table: the same thing measured in every round."""

    name: str
    samples: tuple[Sample, ...]

    def values(self, quantity: Quantity) -> list[float]:
        """One value a round, in order; none where this is not measured."""
        return [value for sample in self.samples if (value := getattr(sample, quantity)) is not None]


@dataclass(frozen=True)
class Verdict:
    """A target, and how far this run got."""

    what: str
    value: float
    target: float
    at_least: bool = True
    unit: str = "x"

    @property
    def met(self) -> bool:
        """Whether the target is reached."""
        return self.value >= self.target if self.at_least else self.value <= self.target


def ratio(of: Row, over: Row, quantity: Quantity = "per_s") -> float:
    """The median of the rounds' ratios: what is compared ran in the same minute, a drifting machine hardly tells."""
    pairs = zip(of.values(quantity), over.values(quantity), strict=True)
    return median(one / other for one, other in pairs)


def difference(of: Row, over: Row, quantity: Quantity) -> float:
    """The median of the rounds' differences."""
    pairs = zip(of.values(quantity), over.values(quantity), strict=True)
    return median(one - other for one, other in pairs)


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value that this share of the values, which are in order of size, do not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def within(times_s: Sequence[float], seconds: float) -> int:
    """How many came in the first `seconds` after the first, itself included."""
    return sum(1 for at in times_s if at < times_s[0] + seconds)


def worst_window(times_s: Sequence[float], seconds: float) -> int:
    """How many came in the fullest window of so many seconds, wherever it begins; the times are in order."""
    worst = first = 0
    for last, at in enumerate(times_s):
        while at - times_s[first] >= seconds:
            first += 1
        worst = max(worst, last - first + 1)
    return worst
