"""What an edge or worker remembers of the cache Redis: the values of keys, least recently used first to go."""

from dataclasses import dataclass
from typing import Any

from cachetools import LRUCache

from app.rules.keys import PART_SEPARATOR

_CHOSEN_BY_CLIENTS = ("rule:header:", "rule:secret:")
_HEADER_PARTS = (*_CHOSEN_BY_CLIENTS, f"{PART_SEPARATOR}header:", f"{PART_SEPARATOR}secret:")


@dataclass(slots=True)
class Entry:
    """The value of one key. One of an older generation is used only if Redis can't be reached."""

    value: Any
    generation: int


class BucketEntries:
    """A bounded cache of entries by the names of their keys.

    Those that are named by what clients choose freely have a cache of their own, so that many of them replace no
    others: while Redis is away, what is remembered stays in force.
    """

    def __init__(self, size: int) -> None:
        self._entries: LRUCache[str, Entry] = LRUCache(size)
        self._chosen: LRUCache[str, Entry] = LRUCache(size)

    def get(self, name: str) -> Entry | None:
        """The entry of a key, or None."""
        return self._of(name).get(name)

    def put(self, name: str, entry: Entry) -> None:
        """Remember an entry in the place of what was known of this key."""
        self._of(name)[name] = entry

    def __len__(self) -> int:
        """How many entries are remembered."""
        return len(self._entries) + len(self._chosen)

    def _of(self, name: str) -> LRUCache[str, Entry]:
        by_clients = name.startswith(_CHOSEN_BY_CLIENTS) and not name.endswith(":*")
        return self._chosen if by_clients or (PART_SEPARATOR in name and _has_header(name)) else self._entries


def _has_header(name: str) -> bool:
    return any(part in name for part in _HEADER_PARTS)
