"""Waiting until a condition holds, instead of for a time."""

import asyncio
import time
from collections.abc import Callable
from typing import Any


async def eventually(condition: Callable[[], Any], within_s: float, what: str) -> float:
    """Poll until `condition()` holds; how long it took. Fails after `within_s`."""
    start = time.monotonic()
    while not await condition():
        assert time.monotonic() - start < within_s, f"not within {within_s} s: {what}"
        await asyncio.sleep(0.02)
    return time.monotonic() - start


def wait_for(condition: Callable[[], bool], within_s: float) -> None:
    until = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until, f"not within {within_s} s"
        time.sleep(0.05)
