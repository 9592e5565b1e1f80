"""The limiter with a deadline: an answer in time, or CountersUnavailable at once while the counters are away."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from app.errors import CountersUnavailable
from app.limiter.policy import Charge, Verdict
from app.limiter.redis_limiter import RedisLimiter

FAILURES_TO_OPEN = 3
PROBE_EVERY_S = 0.1

T = TypeVar("T")


class PromptLimiter:
    """Asks the counters, never for longer than `deadline_s`.

    After a few failures in a row only one caller in a while is a probe; the others are told at once (a circuit
    breaker), so that requests do not queue before a Redis that hangs.
    """

    def __init__(self, limiter: RedisLimiter, deadline_s: float) -> None:
        self._limiter = limiter
        self._deadline_s = deadline_s
        self._failures = 0
        self._probe_at_s = 0.0

    async def decide(self, charges: Sequence[Charge]) -> Verdict:
        """As RedisLimiter.decide; a call that was given up may have spent."""
        return await self._in_time(lambda: self._limiter.decide(charges))

    async def inspect(self, charges: Sequence[Charge]) -> Verdict:
        """As RedisLimiter.inspect."""
        return await self._in_time(lambda: self._limiter.inspect(charges))

    async def mark_backlog(self, counter: str, marker: str, ttl_s: float) -> None:
        """As RedisLimiter.mark_backlog."""
        await self._in_time(lambda: self._limiter.mark_backlog(counter, marker, ttl_s))

    async def _in_time(self, call: Callable[[], Awaitable[T]]) -> T:
        now = asyncio.get_running_loop().time()
        if self._failures >= FAILURES_TO_OPEN:
            if now < self._probe_at_s:
                raise CountersUnavailable("The counters are away.")
            self._probe_at_s = now + PROBE_EVERY_S
        try:
            answer = await asyncio.wait_for(call(), self._deadline_s)
        except (CountersUnavailable, TimeoutError) as error:
            self._failures += 1
            raise CountersUnavailable("The counters did not answer in time.") from error
        self._failures = 0
        return answer
