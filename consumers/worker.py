"""A worker process: takes flows that are due, drains each, and keeps the leases of what is in flight."""

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError
from tenacity import AsyncRetrying, retry_if_exception_type, wait_exponential

from app.clients import cache_redis, counter_scripts, queue_redis, queue_scripts, upstream_pools
from app.errors import Unavailable
from app.identity.identity_token import load_identity_tokens
from app.limiter.redis_limiter import RedisLimiter
from app.process.lifecycle import Process, alongside
from app.queue import keys
from app.queue.checks import check_queue
from app.queue.flows import Flows
from app.queue.model import TakenFlow, TakenRing
from app.redis_wire.scripts import Scripts
from app.rules.cache import RuleCache
from app.settings import Settings
from app.upstream.breaker_metrics import BreakerMetrics
from app.upstream.upstream import Upstream
from consumers.answer_breaker import AnswerBreaker
from consumers.brokers import run_intake
from consumers.concurrency_limit import ConcurrencyLimit
from consumers.delivery import Delivery
from consumers.draining import Draining
from consumers.expiry import expire_periodically
from consumers.in_flight import InFlight
from consumers.intake import IntakeParts
from consumers.metrics import WorkerMetrics
from consumers.reclaimer import reclaim_periodically
from consumers.rescheduler import Rescheduler
from consumers.send_gate import SendGate
from consumers.sender import Sender
from consumers.slots import SlotSource
from consumers.turn_taking import TurnTaking

log = structlog.get_logger()

MAX_UNITS_A_TAKE = 128
LONGEST_SLEEP_S = 1.0
"""A wake-up may be lost with its connection: no worker sleeps longer than this."""

TROUBLE_PAUSE_S = 0.25


class Worker:
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


async def run_worker(process: Process) -> None:
    """The body of `penstock worker`."""
    settings, consumer = process.settings, f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
    metrics = WorkerMetrics(process.registry)
    async with _clients(settings) as (cache, queue, upstream), _scripts(settings) as (counting, queueing):
        flows = Flows(queue, queueing, settings)
        rules = RuleCache(cache, settings)
        identity = load_identity_tokens(settings)
        gate = SendGate(upstream, AnswerBreaker())
        delivery = Delivery(flows, upstream, gate, identity, settings, metrics)
        in_flight, concurrency_limit = InFlight(settings.max_in_flight), ConcurrencyLimit(settings.slot_grace_ms / 2000)
        BreakerMetrics(process.registry, upstream.breakers_open)
        metrics.answer_breaker_open.set_function(lambda: float(gate.answers_refuse))
        metrics.in_flight.set_function(lambda: settings.max_in_flight - in_flight.free)
        limiter = RedisLimiter(counting)
        slots = SlotSource(limiter, flows, rules, settings)
        sender = Sender(
            flows, delivery, upstream, gate, in_flight, concurrency_limit, metrics, settings.slot_grace_ms / 1000
        )
        flow_lease_us = int(settings.flow_lease_ms * 1000)
        draining = Draining(flows, slots, sender, in_flight, flow_lease_us, consumer)
        turn_taking = TurnTaking(flows, slots, sender, in_flight, flow_lease_us, consumer)
        worker = Worker(flows, draining, turn_taking, gate, in_flight, concurrency_limit, queue, settings)
        rescheduler = Rescheduler(flows, rules)
        rules.on_change(rescheduler.changed)
        await check_queue(queue, settings)
        await _until_prepared(flows)
        for scripts in (counting, queueing):
            with suppress(Unavailable):  # then with the first call: only the first slots may be missed for it
                await scripts.load()
        with suppress(Unavailable):
            await slots.prepare()
        partitions = range(settings.queue_partitions)
        background = alongside(
            process,
            rules.run(process.stop),
            rescheduler.run(),
            reclaim_periodically(flows, settings, metrics, consumer),
            expire_periodically(flows, settings, metrics),
            _extend_periodically(delivery, settings.lease_s / 3, consumer),
            *(worker.listen(partition) for partition in partitions),
            run_intake(IntakeParts(cache, queue, queueing, rules, settings, process.registry)),
        )
        async with background:
            process.ready.set()
            await asyncio.gather(*(worker.run(partition, process.stop) for partition in partitions))
            await sender.finish(settings.finish_within_s)


@asynccontextmanager
async def _clients(settings: Settings) -> AsyncIterator[tuple[Redis, Redis, Upstream]]:
    cache, queue = cache_redis(settings), queue_redis(settings)
    upstream = Upstream(upstream_pools(settings), fail_fast=True)
    try:
        yield cache, queue, upstream
    finally:
        await upstream.close()
        await cache.aclose()
        await queue.aclose()


@asynccontextmanager
async def _scripts(settings: Settings) -> AsyncIterator[tuple[Scripts, Scripts]]:
    counting, queueing = counter_scripts(settings, settings.cache_timeout_ms), queue_scripts(settings)
    try:
        yield counting, queueing
    finally:
        await counting.aclose()
        await queueing.aclose()


async def _until_prepared(flows: Flows) -> None:
    """The queue Redis may start after the worker."""
    async for trial in AsyncRetrying(
        retry=retry_if_exception_type((RedisError, OSError)), wait=wait_exponential(0.1, 2)
    ):
        with trial:
            await flows.prepare()


async def _extend_periodically(delivery: Delivery, every_s: float, consumer: str) -> None:
    while True:
        await asyncio.sleep(every_s)
        try:
            await delivery.extend_leases(consumer)
        except Unavailable as error:
            log.warning("leases_not_extended", error=str(error))
