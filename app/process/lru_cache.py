"""A bounded memory of what was used lately, for the hot path: a hit is one look-up in a plain dict."""

from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def _one(*_: Any) -> int:  # noqa: ANN401
    return 1


class TwoGenerationLRUCache(Generic[K, V]):
    """Two generations of dicts, together never heavier than `most`.

    When the younger has half of it, it becomes the older, and what was not used since is forgotten. `weigh`: what an
    entry weighs; without it `most` counts entries. A value must not be None.
    """

    def __init__(self, most: int, weigh: Callable[[K, V], int] = _one) -> None:
        self._half = most // 2
        self._weigh = weigh
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}
        self._weight = 0

    def get(self, key: K) -> V | None:
        """What is remembered of this key."""
        found = self._young.get(key)
        if found is None and (found := self._old.get(key)) is not None:
            self.put(key, found)
        return found

    def put(self, key: K, value: V) -> None:
        """Remember this, unless it alone is heavier than all may be."""
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
        """How many entries; one that moved up counts in both generations."""
        return len(self._young) + len(self._old)
