"""Flows and rings that wait for a place among the requests in flight: they are due as soon as one is free."""

import asyncio
from contextlib import suppress
from time import monotonic

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.errors import QueueUnavailable
from app.limiter.keys import PLACES_FREED, rule_and_descriptor
from app.process.lru_cache import TwoGenerationLRUCache
from app.queue.flows import Flows

log = structlog.get_logger()

CACHE_SIZE = 20_000
"""How many counters are remembered; a flow that is forgotten asks again when a lease of a place has ended."""

LONGEST_SILENCE_S = 1.0
RECONNECT_PAUSE_S = 0.25


class PlaceWaiting:
    """Hears of each place that is free and makes the flows due that this worker has left waiting for it."""

    def __init__(self, flows: Flows, cache: Redis) -> None:
        self._flows = flows
        self._cache = cache
        self._waiting: TwoGenerationLRUCache[str, set[str]] = TwoGenerationLRUCache(CACHE_SIZE)
        self._freed_at_s: TwoGenerationLRUCache[str, float] = TwoGenerationLRUCache(CACHE_SIZE)
        self._due: dict[str, set[str]] = {}
        self._making_due: asyncio.Task[None] | None = None

    def add(self, flow: str, counter: str, since_s: float) -> bool:
        """A flow waits for a place at this counter, in its ring or by itself; False if one was free after `since_s`."""
        freed_at_s = self._freed_at_s.get(counter)
        if freed_at_s is not None and freed_at_s >= since_s:
            return False
        waiting = self._waiting.get(counter)
        if waiting is None:
            waiting = set()
            self._waiting.put(counter, waiting)
        waiting.add(flow)
        return True

    async def listen(self) -> None:
        """Make flows due when a script says that a place is free; runs until cancelled."""
        while True:
            with suppress(RedisError, OSError):
                async with self._cache.pubsub() as channel:
                    await channel.subscribe(PLACES_FREED)
                    while True:
                        message = await channel.get_message(ignore_subscribe_messages=True, timeout=LONGEST_SILENCE_S)
                        if message is not None:
                            self.freed(rule_and_descriptor(message["data"].decode()))
            await asyncio.sleep(RECONNECT_PAUSE_S)

    def freed(self, counter: str) -> None:
        """A place is free at this counter: `<rule>|<descriptor>`. What comes meanwhile is written together."""
        self._freed_at_s.put(counter, monotonic())
        waiting = self._waiting.get(counter)
        if not waiting:
            return
        self._waiting.put(counter, set())
        self._due.setdefault(counter, set()).update(waiting)
        if self._making_due is None:
            self._making_due = asyncio.create_task(self._make_due())

    async def _make_due(self) -> None:
        try:
            while self._due:
                due, self._due = self._due, {}
                try:
                    await self._flows.make_due(due)
                except QueueUnavailable as error:  # they are due when a lease of a place has ended
                    log.warning("waiting_flows_not_woken", counters=len(due), error=str(error))
        finally:
            self._making_due = None
