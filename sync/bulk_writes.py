"""Bulk writes to MongoDB, in batches, that several sync workers may repeat."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from pymongo.errors import BulkWriteError

BULK_WRITE_SIZE = 1000
_DUPLICATE_KEY = 11_000

T = TypeVar("T")


def batches(items: Sequence[T], size: int = BULK_WRITE_SIZE) -> Iterator[Sequence[T]]:
    """Split a sequence into parts of at most `size` items."""
    for first in range(0, len(items), size):
        yield items[first : first + size]


@contextmanager
def ignoring_duplicate_keys() -> Iterator[None]:
    """Ignore the documents of an unordered bulk write whose key exists already. Other errors are raised."""
    try:
        yield
    except BulkWriteError as error:
        if any(problem["code"] != _DUPLICATE_KEY for problem in error.details["writeErrors"]):
            raise
