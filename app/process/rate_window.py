"""Rates of counters over the last seconds."""

import time
from collections import deque
from collections.abc import Callable, Mapping


class RateWindow:
    """Turns counters that only rise into rates per second, over the samples that it keeps."""

    def __init__(self, samples: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._samples: deque[tuple[float, dict[str, int]]] = deque(maxlen=samples)
        self._clock = clock

    def add(self, counts: Mapping[str, int]) -> dict[str, float]:
        """Take a sample, and return the rate of each counter since the oldest sample; without one it is 0."""
        now_s = self._clock()
        self._samples.append((now_s, dict(counts)))
        then_s, before = self._samples[0]
        elapsed_s = now_s - then_s
        if elapsed_s <= 0:
            return dict.fromkeys(counts, 0.0)
        return {name: round((count - before.get(name, 0)) / elapsed_s, 3) for name, count in counts.items()}
