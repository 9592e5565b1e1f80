"""Waiting until a condition holds, instead of for a time."""

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any, NoReturn

SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.02, 0.1
PAUSE_SHARE = 0.05
"""The share of the time that has passed that is waited until a condition is looked at again.

What takes long is asked for less often: to ask costs CPU time, which all tests share.
"""


async def eventually(condition: Callable[[], Any], within_s: float, what: str) -> float:
    """Poll until `condition()` holds, which may be awaitable; how long it took. Fails after `within_s`."""
    start = time.monotonic()
    while True:
        passed_s = time.monotonic() - start  # before the condition, so that it is looked at after the last moment too
        if await _value(condition):
            return time.monotonic() - start
        assert passed_s < within_s, f"not within {within_s} s: {what}"
        await asyncio.sleep(min(max(SHORTEST_PAUSE_S, PAUSE_SHARE * passed_s), LONGEST_PAUSE_S))


async def settled(value: Callable[[], Any], still_s: float, within_s: float, what: str) -> Any:  # noqa: ANN401
    """Poll until `value()` has been the same for `still_s`, and return it. Fails after `within_s`."""
    seen, since = await _value(value), time.monotonic()

    async def is_still() -> bool:
        nonlocal seen, since
        if (now := await _value(value)) != seen:
            seen, since = now, time.monotonic()
        return time.monotonic() - since >= still_s

    await eventually(is_still, within_s, what)
    return seen


async def forever() -> NoReturn:
    """Wait until cancelled."""
    while True:
        await asyncio.Event().wait()


def wait_for(condition: Callable[[], bool], within_s: float) -> None:
    until = time.monotonic() + within_s
    while True:
        is_over = time.monotonic() >= until  # before the condition, so that it is looked at after the last moment too
        if condition():
            return
        assert not is_over, f"not within {within_s} s"
        time.sleep(0.05)


async def _value(ask: Callable[[], Any]) -> Any:  # noqa: ANN401
    found = ask()
    return await found if inspect.isawaitable(found) else found
