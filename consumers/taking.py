"""Taking: a worker takes what is due of a partition, and drains as many flows and rings at once as it can send for."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from app.errors import Unavailable
from app.queue import keys
from app.queue.flows import Flows
from app.queue.model import TakenFlow, TakenRing
from app.settings import Settings
from consumers.concurrency_limit import ConcurrencyLimit
from consumers.draining import Draining
from consumers.in_flight import InFlight
from consumers.send_gate import SendGate
from consumers.turn_taking import TurnTaking

log = structlog.get_logger()

MAX_UNITS_A_TAKE = 128
LONGEST_SLEEP_S = 1.0
"""A wake-up may be lost with its connection: no worker sleeps longer than this."""

TROUBLE_PAUSE_S = 0.25


class Taking:
    """Takes flows and drains them, at most `max_in_flight` jobs at once."""

    def __init__(
        self,
        flows: Flows,
        draining: Draining,
        turn_taking: TurnTaking,
        gate: SendGate,
        in_flight: InFlight,
        concurrency_limit: ConcurrencyLimit,
        queue: Redis,
        settings: Settings,
    ) -> None:
        self._flows = flows
        self._gate = gate
        self._draining = draining
        self._turn_taking = turn_taking
        self._in_flight = in_flight
        self._concurrency_limit = concurrency_limit
        self._queue = queue
        self._flow_lease_us = int(settings.flow_lease_ms * 1000)
        self._wake = asyncio.Event()
        self._drains: set[asyncio.Task[None]] = set()

    async def run(self, partition: int, stop: asyncio.Event) -> None:
        """Take and drain one partition's flows until `stop` is set, then finish what was begun."""
        while not stop.is_set():
            await _first(self._in_flight.wait_available(), stop.wait())
            await self._wait_for_capacity(stop)
            self._wake.clear()
            if len(self._drains) >= self._concurrency_limit.limit:
                await _first(self._wake.wait(), stop.wait())
                continue
            try:
                wait_s = await self._take(partition, stop)
            except Unavailable as error:
                log.warning("take_failed", error=str(error))
                wait_s = TROUBLE_PAUSE_S
            if wait_s > 0:
                await _first(self._wake.wait(), stop.wait(), timeout_s=wait_s)
        while self._drains:
            await asyncio.wait(set(self._drains))

    async def _wait_for_capacity(self, stop: asyncio.Event) -> None:
        """Wait until a request may be sent: while all circuit breakers are open, flows stay in the queue."""
        while self._gate.capacity < 1 and not stop.is_set():
            self._gate.changed.clear()
            await _first(self._gate.changed.wait(), stop.wait(), timeout_s=max(0.001, self._gate.wait_s))

    async def listen(self, partition: int) -> None:
        """Wake up when a script says that a flow became due earlier than known; runs until cancelled."""
        while True:
            with suppress(RedisError, OSError):
                async with self._queue.pubsub() as channel:
                    await channel.subscribe(keys.wake_channel(partition))
                    while True:
                        if await channel.get_message(ignore_subscribe_messages=True, timeout=LONGEST_SLEEP_S):
                            self._wake.set()
            await asyncio.sleep(TROUBLE_PAUSE_S)

    async def _take(self, partition: int, stop: asyncio.Event) -> float:
        """Begin to drain what is due; how long there is nothing to do."""
        free = self._concurrency_limit.limit - len(self._drains)
        most = int(min(MAX_UNITS_A_TAKE, free, self._in_flight.free, self._gate.capacity))
        wait_s, taken = await self._flows.take(partition, most, self._flow_lease_us)
        for unit in taken:
            task = asyncio.create_task(self._drain(unit, stop))
            self._drains.add(task)
            task.add_done_callback(self._drained)
        if taken:
            await asyncio.sleep(0)  # let them reserve what they need
            return 0.0
        return LONGEST_SLEEP_S if wait_s is None else min(wait_s, LONGEST_SLEEP_S)

    async def _drain(self, unit: TakenFlow | TakenRing, stop: asyncio.Event) -> None:
        try:
            if isinstance(unit, TakenRing):
                await self._turn_taking.drain(unit, stop.is_set)
            else:
                await self._draining.drain(unit, stop.is_set)
        except Unavailable as error:
            log.warning("drain_interrupted", flow=unit.name, error=str(error))
        except ResponseError as error:
            log.error("drain_failed", flow=unit.name, error=str(error))
            if "NOGROUP" in str(error):
                await self._flows.prepare()

    def _drained(self, task: "asyncio.Task[None]") -> None:
        self._drains.discard(task)
        self._wake.set()


async def _first(*waits: Coroutine[Any, Any, Any], timeout_s: float | None = None) -> None:
    """Until one of them is over, or the time is."""
    tasks = [asyncio.create_task(wait) for wait in waits]
    await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
