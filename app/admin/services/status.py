"""How the installation is: once, or again and again for as long as somebody watches."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from functools import cached_property
from typing import Any

from app.admin.operators import Operator, Role
from app.admin.services.status_history import StatusSamples
from app.admin.services.status_model import Status, StatusHistory
from app.errors import TooManyRequests

GATHERING_INTERVAL_S = 1.0
MAX_VIEWERS = 200
MAX_WATCH_S = 300.0
"""How long one viewer watches. Whoever goes on connects again, and the token is verified anew."""

Gather = Callable[[], Coroutine[Any, Any, Status]]


class StatusSnapshot:
    """The status as of one moment, and as JSON, which is written once for all viewers."""

    def __init__(self, status: Status) -> None:
        self.status = status

    @cached_property
    def json(self) -> str:
        """The status as one line of JSON."""
        return self.status.model_dump_json()


class StatusService:
    """Gathers the status at most once a second, however many ask for it or watch it, and only while somebody does.

    It keeps what charts show of the last ten minutes. `closing` is set when the process is told to stop: then all
    watching ends.
    """

    def __init__(self, gather: Gather, closing: asyncio.Event, max_viewers: int = MAX_VIEWERS) -> None:
        self._gather = gather
        self._closing = closing
        self._max_viewers = max_viewers
        self._gathering: asyncio.Task[StatusSnapshot] | None = None
        self._begun_at_s = -GATHERING_INTERVAL_S
        self._samples = StatusSamples()
        self.viewers = 0

    async def status(self, operator: Operator) -> Status:
        """Return how the installation is, as of a second ago at most. Raises Forbidden."""
        operator.require(Role.VIEWER)
        return (await self._current()).status

    def history(self, operator: Operator) -> StatusHistory:
        """Return what was gathered in the last ten minutes, as far as somebody watched. Raises Forbidden."""
        operator.require(Role.VIEWER)
        return self._samples.history()

    async def watch(self, operator: Operator) -> AsyncGenerator[StatusSnapshot]:
        """Yield the status once a second, until the token expires, MAX_WATCH_S have passed, or the process stops.

        A viewer who reads slowly misses what comes meanwhile. Raises Forbidden, and TooManyRequests where MAX_VIEWERS
        watch already.
        """
        operator.require(Role.VIEWER)
        if self.viewers >= self._max_viewers:
            raise TooManyRequests(f"{self.viewers} viewers watch already.", retry_after_s=10)
        self.viewers += 1
        ends_at_s = time.monotonic() + min(MAX_WATCH_S, operator.expires_at_s - time.time())
        try:
            yield await self._current()
            while await self._pause(min(self._due_in_s(), ends_at_s - time.monotonic())):
                if time.monotonic() >= ends_at_s:
                    return
                yield await self._current()
        finally:
            self.viewers -= 1

    async def _current(self) -> StatusSnapshot:
        """The status that is being gathered, or was less than a second ago. Who stops waiting does not end it."""
        gathering = self._gathering
        if gathering is None or (gathering.done() and self._due_in_s() <= 0):
            self._begun_at_s = time.monotonic()
            gathering = self._gathering = asyncio.create_task(self._snapshot())
        return await asyncio.shield(gathering)

    async def _snapshot(self) -> StatusSnapshot:
        status = await self._gather()
        self._samples.add(status)
        return StatusSnapshot(status)

    def _due_in_s(self) -> float:
        return self._begun_at_s + GATHERING_INTERVAL_S - time.monotonic()

    async def _pause(self, seconds: float) -> bool:
        """Wait, and return whether the process goes on."""
        try:
            await asyncio.wait_for(self._closing.wait(), max(0.0, seconds))
        except TimeoutError:
            return True
        return False
