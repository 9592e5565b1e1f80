"""Pacing: jobs are sent in order, each at a slot; a slot that was missed by more than a grace is never made up."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from app.queue.model import LeasedJob

Send = Callable[[LeasedJob, float], Awaitable[None]]
"""Sends one job at its slot (the loop's time); returns as soon as the request is on its way."""


class Pacer:
    """Sends one flow's jobs. Jobs take the slots in order; one whose slot was missed takes the next that was not.

    A slot at which nothing may be sent is missed too.
    """

    def __init__(self, send: Send, grace_s: float, may_send: Callable[[], bool] = lambda: True) -> None:
        self._send = send
        self._may_send = may_send
        self._grace_s = grace_s
        self._jobs: deque[LeasedJob] = deque()
        self._slots: deque[float] = deque()
        self._sending: asyncio.Task[None] | None = None

    def add(self, jobs: Sequence[LeasedJob], slots: Sequence[float]) -> None:
        """More jobs, and as many slots at least; times of the event loop, in order."""
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
        loop = asyncio.get_running_loop()
        while self._jobs and self._slots:
            slot = self._slots.popleft()
            ahead_s = slot - loop.time()
            if ahead_s > 0:
                await asyncio.sleep(ahead_s)
            if loop.time() - slot <= self._grace_s and self._may_send():
                await self._send(self._jobs.popleft(), slot)
