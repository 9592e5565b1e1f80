"""A histogram for the hot path: it counts in a plain list, while the one of prometheus_client takes a lock."""

from bisect import bisect_left
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily


class Histogram:
    """Counts observations by upper bound, in ascending order. Not thread-safe: it belongs to one event loop."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count one observation."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def counts(self) -> dict[str, int]:
        """How many observations were at most each bound and above the one before, by bound; `inf` for the rest."""
        return {str(bound): count for bound, count in zip((*self._bounds, float("inf")), self._counts, strict=True)}

    def family(self, name: str, documentation: str) -> HistogramMetricFamily:
        """The metric with its current values, for a collector."""
        bounds = [*map(str, self._bounds), "+Inf"]
        family = HistogramMetricFamily(name, documentation)
        family.add_metric([], list(zip(bounds, accumulate(self._counts), strict=True)), self._sum)
        return family
