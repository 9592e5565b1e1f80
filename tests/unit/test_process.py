"""Background tasks are cancelled even if they swallow a cancellation, as redis-py does before Python 3.12."""

import asyncio
from contextlib import suppress

import pytest

from app.process.lifecycle import cancel, until_one_ends
from tests.support.waiting import forever


async def stubborn(swallows: int) -> None:
    while True:
        try:
            await forever()
        except asyncio.CancelledError:
            swallows -= 1
            if swallows < 0:
                raise


async def test_a_task_that_swallows_cancellations_is_cancelled_again() -> None:
    task = asyncio.create_task(stubborn(2))
    await asyncio.sleep(0)
    await asyncio.wait_for(cancel([task]), 30)
    assert task.cancelled()


async def test_when_the_first_task_ends_the_others_are_cancelled_and_its_error_is_raised() -> None:
    others: list[asyncio.Task[None]] = []

    async def watched() -> None:
        others.append(asyncio.create_task(stubborn(1)))
        with suppress(asyncio.CancelledError):
            await asyncio.shield(others[0])

    async def fails() -> None:
        await asyncio.sleep(0.01)
        raise LookupError("first")

    with pytest.raises(LookupError):
        await asyncio.wait_for(until_one_ends(stubborn(1), watched(), fails()), 30)
    await cancel(others)
