"""Pacing: jobs are sent in order, each at a slot, and a slot that was missed is given up, never made up."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from app.queue.model import LeasedJob

Send = Callable[[LeasedJob, float], Awaitable[None]]
"""Sends one job at its slot (the loop's time); returns as soon as the request is on its way."""


@dataclass(slots=True)
class Pacer:
    """Sends one flow's jobs. Jobs take the slots in order; one whose slot was missed takes the next that was not.

    `grace_s`: how late a slot may be used.
    """

    send: Send
    grace_s: float
    _jobs: deque[LeasedJob] = field(default_factory=deque)
    _slots: deque[float] = field(default_factory=deque)

    def add(self, jobs: Sequence[LeasedJob], slots: Sequence[float]) -> None:
        """More jobs, and as many slots at least; times of the event loop."""
        self._jobs.extend(jobs)
        self._slots.extend(slots[: len(jobs)])

    async def run(self) -> list[LeasedJob]:
        """Send all; returns those for which no slot was left, in order."""
        loop = asyncio.get_running_loop()
        while self._jobs and self._slots:
            slot = self._slots.popleft()
            ahead_s = slot - loop.time()
            if ahead_s > 0:
                await asyncio.sleep(ahead_s)
            if loop.time() - slot <= self.grace_s:
                await self.send(self._jobs.popleft(), slot)
        left = list(self._jobs)
        self._jobs.clear()
        self._slots.clear()
        return left
