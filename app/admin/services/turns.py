"""Searches of the queue, of which each operator may make one at a time."""

import asyncio
from weakref import WeakValueDictionary

from app.admin.operators import Operator


class Turns:
    """Lets the searches of an operator wait for each other.

    A search is hundreds of short calls of the queue Redis. One operator who sends many at once would keep it busy, and
    callers of edges wait for it; so many searches take as long as if each had been sent after the last.
    """

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def of(self, operator: Operator) -> asyncio.Lock:
        """What an operator holds during a search; it is there for as long as somebody holds it or waits for it."""
        return self._locks.setdefault(operator.name, asyncio.Lock())
