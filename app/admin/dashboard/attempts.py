"""Bounds what callers without a token can cause by trying to sign in."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from app.errors import TooManyRequests, Unauthenticated
from app.identity.authentication import BadTokenLimit

MAX_UNDER_WAY = 64
MAX_UNDER_WAY_OF_ADDRESS = 4


class SignInAttempts:
    """Counts the attempts of each address: those that failed within a minute, and those that are under way."""

    def __init__(self, max_failed_per_minute: int) -> None:
        self._failed = BadTokenLimit(max_failed_per_minute)
        self._under_way: Counter[str] = Counter()

    @contextmanager
    def attempt(self, address: str) -> Iterator[None]:
        """Run one attempt in the body. Raises TooManyRequests."""
        self._failed.check(address)
        if self._under_way[address] >= MAX_UNDER_WAY_OF_ADDRESS or self._under_way.total() >= MAX_UNDER_WAY:
            raise TooManyRequests("Too many sign-ins are under way.", retry_after_s=1)
        self._under_way[address] += 1
        try:
            yield
        except Unauthenticated:
            self._failed.count(address)
            raise
        finally:
            self._under_way[address] -= 1
            self._under_way += Counter()  # forgets addresses with nothing under way
