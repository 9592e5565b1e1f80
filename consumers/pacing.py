"""Pacing: jobs are sent in order, each at a slot; a slot that was missed by more than a grace is never made up.

The clock is read each time: the event loop's own time stands still while a turn lasts, and a busy turn is long.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic

from app.queue.model import LeasedJob

Send = Callable[[LeasedJob, float], Awaitable[None]]
"""Sends one job at its slot (`time.monotonic`); returns as soon as the request is on its way."""


MOST_IN_A_ROW = 8
"""So many jobs may leave before the event loop looks at what has been answered."""

TICK_S = 0.001
"""The event loop's timers know nothing shorter."""


async def _nothing() -> None:
    pass


class Pacer:
    """Sends one flow's jobs. Jobs take the slots in order; one whose slot was missed takes the next that was not.

    A slot at which nothing may be sent is missed too. `prepare`: what takes time is done before a slot, so that the
    request leaves at it.
    """

    def __init__(
        self,
        send: Send,
        grace_s: float,
        may_send: Callable[[], bool] = lambda: True,
        prepare: Callable[[], Awaitable[None]] = _nothing,
    ) -> None:
        self._send = send
        self._may_send = may_send
        self._prepare = prepare
        self._grace_s = grace_s
        self._jobs: deque[LeasedJob] = deque()
        self._slots: deque[float] = deque()
        self._sending: asyncio.Task[None] | None = None

    def add(self, jobs: Sequence[LeasedJob], slots: Sequence[float]) -> None:
        """More jobs, and as many slots at least; times of `time.monotonic`, in order."""
        self._jobs.extend(jobs)
        self._slots.extend(slots[: len(jobs)])
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send_all())

    async def finish(self) -> list[LeasedJob]:
        """Wait until all slots have passed; returns the jobs for which none was left, in order."""
        if self._sending is not None:
            await self._sending
        left = list(self._jobs)
        self._jobs.clear()
        return left

    async def _send_all(self) -> None:
        in_a_row = 0
        while self._jobs and self._slots:
            slot = self._slots.popleft()
            await self._prepare()
            in_a_row += 1
            if in_a_row > MOST_IN_A_ROW:
                in_a_row = 1
                await asyncio.sleep(0)
            while (ahead_s := slot - monotonic()) > 0:
                in_a_row = 1
                await asyncio.sleep(max(TICK_S, ahead_s))
            if monotonic() - slot <= self._grace_s and self._may_send():
                await self._send(self._jobs.popleft(), slot)
