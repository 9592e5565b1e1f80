"""A worker process: made of its parts, and what it does periodically."""

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError
from tenacity import AsyncRetrying, retry_if_exception_type, wait_exponential

from app.clients import cache_redis, counter_scripts, queue_redis, queue_scripts, upstream_pools
from app.errors import QueueUnavailable, Unavailable
from app.identity.identity_token import load_identity_tokens
from app.limiter.corrections import Corrections
from app.limiter.places import Places
from app.limiter.redis_limiter import RedisLimiter
from app.process.heartbeat import ProcessHeartbeat
from app.process.lifecycle import Process, alongside
from app.queue.checks import check_queue
from app.queue.flow_settings import FlowSettingStore
from app.queue.flows import Flows
from app.redis_wire.scripts import Scripts
from app.rules.cache import RuleCache
from app.rules.version_age import RulesVersionAge
from app.settings import Settings
from app.upstream.breaker_metrics import BreakerMetrics
from app.upstream.upstream import Upstream
from consumers.answer_breaker import AnswerBreaker
from consumers.brokers import run_intake
from consumers.concurrency_limit import ConcurrencyLimit
from consumers.delivery import Delivery
from consumers.draining import Draining
from consumers.expiry import expire_periodically
from consumers.flow_settings import FlowSettings
from consumers.in_flight import InFlight
from consumers.intake import IntakeParts, IntakeReport
from consumers.job_places import JobPlaces
from consumers.metrics import WorkerMetrics
from consumers.place_waiting import PlaceWaiting
from consumers.reclaimer import OwnLeases, reclaim_periodically
from consumers.rescheduler import Rescheduler
from consumers.send_gate import SendGate
from consumers.sender import Sender
from consumers.slots import SlotSource
from consumers.taking import Taking
from consumers.turn_taking import TurnTaking

log = structlog.get_logger()


async def run_worker(process: Process) -> None:
    """The body of `penstock worker`."""
    settings, consumer = process.settings, f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
    metrics = WorkerMetrics(process.registry)
    async with _clients(settings) as (cache, queue, upstream), _scripts(settings) as (counting, queueing):
        flows = Flows(queue, queueing, settings)
        rules = RuleCache(cache, settings)
        identity = load_identity_tokens(settings)
        gate = SendGate(upstream, AnswerBreaker())
        corrections = Corrections(counting, metrics.corrections_dropped)
        delivery = Delivery(flows, upstream, gate, identity, settings, metrics, corrections)
        in_flight, concurrency_limit = InFlight(settings.max_in_flight), ConcurrencyLimit(settings.slot_grace_ms / 2000)
        BreakerMetrics(process.registry, upstream.breakers_open)
        metrics.answer_breaker_open.set_function(lambda: float(gate.answers_refuse))
        metrics.in_flight.set_function(lambda: settings.max_in_flight - in_flight.free)
        limiter = RedisLimiter(counting)
        places = Places(counting)
        job_places, place_waiting = JobPlaces(places), PlaceWaiting(flows, cache)
        flow_settings = FlowSettings(FlowSettingStore(queue, queueing), flows, queue)
        slots = SlotSource(limiter, places, flows, rules, flow_settings, settings)
        sender = Sender(
            flows,
            delivery,
            upstream,
            gate,
            in_flight,
            job_places,
            concurrency_limit,
            metrics,
            settings.slot_grace_ms / 1000,
        )
        own_leases = OwnLeases(flows, delivery, sender, settings.lease_s, consumer)
        flow_lease_us = int(settings.flow_lease_ms * 1000)
        how_to_drain = (flows, slots, sender, in_flight, job_places, place_waiting, flow_lease_us, consumer)
        draining, turn_taking = Draining(*how_to_drain), TurnTaking(*how_to_drain)
        taking = Taking(flows, draining, turn_taking, gate, in_flight, concurrency_limit, queue, settings)
        rescheduler = Rescheduler(flows, rules)
        rules.on_change(rescheduler.changed)
        await check_queue(queue, settings)
        await _until_prepared(flows, flow_settings)
        for scripts in (counting, queueing):
            with suppress(Unavailable):  # then with the first call: only the first slots may be missed for it
                await scripts.load()
        with suppress(Unavailable):
            await slots.prepare()
        version_age, of_broker = RulesVersionAge(rules), IntakeReport()
        heartbeat = ProcessHeartbeat(
            cache,
            "worker",
            lambda: {
                **version_age.report(),
                **of_broker.read(),
                "breakers_open": upstream.breakers_open(),
                "in_flight": settings.max_in_flight - in_flight.free,
            },
            metrics.attempts_by_outcome,
        )
        partitions = range(settings.queue_partitions)
        background = alongside(
            process,
            rules.run(process.stop),
            heartbeat.run(),
            rescheduler.run(),
            flow_settings.run(),
            places.run(),
            place_waiting.listen(),
            reclaim_periodically(flows, settings, metrics, own_leases, consumer),
            expire_periodically(flows, settings, metrics),
            own_leases.run(),
            *(taking.listen(partition) for partition in partitions),
            run_intake(IntakeParts(cache, queue, queueing, rules, settings, process.registry, of_broker)),
        )
        async with background:
            process.ready.set()
            await asyncio.gather(*(taking.run(partition, process.stop) for partition in partitions))
            await sender.finish(settings.finish_within_s)
            await places.finish()
            await corrections.aclose()


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


async def _until_prepared(flows: Flows, flow_settings: FlowSettings) -> None:
    """The queue Redis may start after the worker. Nothing is sent before it is known which flows are paused."""
    async for trial in AsyncRetrying(
        retry=retry_if_exception_type((RedisError, OSError, QueueUnavailable)), wait=wait_exponential(0.1, 2)
    ):
        with trial:
            await flows.prepare()
            await flow_settings.load()
