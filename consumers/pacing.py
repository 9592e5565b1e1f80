"""Pacing: sends jobs in order, each at a slot. A slot that is missed by more than a grace period is given up.

The pacer reads the system's clock for every job, because the event loop's own time stands still during one of its
turns, and a busy turn takes long.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic

from app.queue.model import LeasedJob

Send = Callable[[LeasedJob, float], Awaitable[None]]
"""Sends one job at its slot (a time of `time.monotonic`) and returns as soon as the request has been written."""

MAX_CONSECUTIVE_SENDS = 8
"""After this many sends the pacer yields to the event loop, so that it can read the answers."""

TIMER_RESOLUTION_S = 0.001
"""The event loop's timers are not more precise than this."""


async def _nothing() -> None:
    pass


class Pacer:
    """Sends one flow's jobs at its slots, both in order. A job whose slot was missed takes the next slot.

    A slot at which `may_send` is false counts as missed. `prepare` runs before each slot and does what takes time,
    such as opening a connection, so that the request leaves at its slot.
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
        self._waits_for_slot = False
        self.late_slots = 0
        """How many slots were missed because they had passed, not because `may_send` was false."""
        self._missed_last_slot = False

    def add(self, jobs: Sequence[LeasedJob], slots: Sequence[float]) -> None:
        """Add jobs, and at least as many slots: times of `time.monotonic`, in order."""
        self._jobs.extend(jobs)
        self._slots.extend(slots[: len(jobs)])
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send_all())

    @property
    def unsent(self) -> Sequence[LeasedJob]:
        """The jobs that wait for their slots, in order."""
        return self._jobs

    @property
    def is_idle(self) -> bool:
        """Whether every job was sent."""
        return not self._jobs and (self._sending is None or self._sending.done())

    @property
    def is_last_slot_unused(self) -> bool:
        """Whether all slots have passed, and nothing was sent at the last one."""
        return self._missed_last_slot and not self._slots and not self._waits_for_slot

    def take_missed(self) -> list[LeasedJob]:
        """Take back the jobs that have no slot any more, because some were missed: the last ones, in order."""
        missed: list[LeasedJob] = []
        while len(self._jobs) > len(self._slots) + self._waits_for_slot:
            missed.append(self._jobs.pop())
        missed.reverse()
        return missed

    async def wait_for_slots(self) -> None:
        """Wait until all slots have passed."""
        if self._sending is not None:
            await self._sending

    async def finish(self) -> list[LeasedJob]:
        """Wait until all slots have passed, and return the jobs that were not sent, in order."""
        await self.wait_for_slots()
        left = list(self._jobs)
        self._jobs.clear()
        return left

    async def _send_all(self) -> None:
        consecutive = 0
        while self._jobs and self._slots:
            slot = self._slots.popleft()
            self._waits_for_slot = True
            await self._prepare()
            consecutive += 1
            if consecutive > MAX_CONSECUTIVE_SENDS:
                consecutive = 1
                await asyncio.sleep(0)
            while (ahead_s := slot - monotonic()) > 0:
                consecutive = 1
                await asyncio.sleep(max(TIMER_RESOLUTION_S, ahead_s))
            self._waits_for_slot = False
            is_late = monotonic() - slot > self._grace_s
            self.late_slots += is_late
            self._missed_last_slot = is_late or not self._may_send()
            if not self._missed_last_slot:
                await self._send(self._jobs.popleft(), slot)
