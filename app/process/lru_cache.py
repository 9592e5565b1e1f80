"""A bounded cache of recently used entries for the hot path, where a hit costs one look-up in a plain dict."""

from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def _one(*_: Any) -> int:  # noqa: ANN401 - any key and value
    return 1


class TwoGenerationLRUCache(Generic[K, V]):
    """An approximation of an LRU cache: two dicts, a young and an old generation, with a limit for their total weight.

    New entries, and old ones that are used, go into the young generation. Once it weighs half of `max_weight`, it
    becomes the old one, and what was in the old one is dropped. So an entry stays at least until entries of half of
    `max_weight` have been used after it.

    `weigh` returns the weight of an entry; without it every entry weighs 1, and `max_weight` is a number of entries.
    A value must not be None.
    """

    def __init__(self, max_weight: int, weigh: Callable[[K, V], int] = _one) -> None:
        self._half = max_weight // 2
        self._weigh = weigh
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}
        self._weight = 0

    def get(self, key: K) -> V | None:
        """The value of this key, or None."""
        found = self._young.get(key)
        if found is None and (found := self._old.get(key)) is not None:
            self.put(key, found)
        return found

    def put(self, key: K, value: V) -> None:
        """Store a value, unless it weighs more than a whole generation may."""
        weight = self._weigh(key, value)
        if weight > self._half:
            return
        if key in self._young:
            self._weight -= self._weigh(key, self._young[key])
        if self._weight + weight > self._half:
            self._old, self._young, self._weight = self._young, {}, 0
        self._young[key] = value
        self._weight += weight

    def __len__(self) -> int:
        """The number of entries; one that moved to the young generation is counted in both."""
        return len(self._young) + len(self._old)
