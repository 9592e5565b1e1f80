"""Builds the two ASGI applications, data plane and admin, and runs them."""

import asyncio
from contextlib import AsyncExitStack

from redis.asyncio import Redis

from app.admin.application import build_admin
from app.admin.auth import Gatekeeper
from app.clients import (
    cache_redis,
    counter_scripts,
    http_session,
    mongodb,
    queue_redis,
    queue_scripts,
    upstream_pools,
)
from app.edge.api import ApiParts, PollLimit, build_api
from app.edge.deferral import Deferring
from app.edge.denials import Denials
from app.edge.gateway import Gateway, Parts
from app.edge.identity import Identity
from app.edge.jobs_view import JobView
from app.edge.judging import Judging
from app.edge.metrics import Metrics
from app.edge.presence import Presence
from app.http1.server.asgi import as_application
from app.identity_token import load_identity_tokens
from app.jobs.record import Records
from app.limiter.local_limiter import LocalLimiter
from app.limiter.redis_limiter import RedisLimiter
from app.lua import Scripts
from app.problem_handlers import NeverCached
from app.process import Listen, Process, alongside
from app.queue.checks import check_queue
from app.queue.disk import Disk
from app.queue.flows import Flows
from app.queue.kafka import KafkaQueue
from app.queue.operations import Operations
from app.queue.producing import Producing
from app.queue.transit import Transit
from app.rules.cache import RuleCache
from app.rules.store import RuleStore
from app.serving import serve
from app.settings import Settings
from app.tokens import TokenVerifier
from app.upstream import Upstream

ADMIN_DEADLINE_S = 3.0
"""How long one call to MongoDB may take: whoever waits for the admin API is told within a few seconds."""


async def run_edge(process: Process) -> None:
    """The body of `penstock edge`."""
    settings = process.settings
    async with AsyncExitStack() as stack:
        cache, queue, session = cache_redis(settings), queue_redis(settings), http_session()
        stack.push_async_callback(cache.aclose)
        stack.push_async_callback(queue.aclose)
        stack.push_async_callback(session.close)
        counting, queueing = counter_scripts(settings, settings.counters_timeout_ms), queue_scripts(settings)
        stack.push_async_callback(counting.aclose)
        stack.push_async_callback(queueing.aclose)
        rules, view = RuleCache(cache, settings, settings.counters_timeout_ms / 1000), JobView(settings)
        limiter = RedisLimiter(counting)
        presence = Presence(cache)
        verifier = TokenVerifier(settings, session, settings.jwt_audience)
        identity = Identity(verifier, settings)
        identity_tokens = load_identity_tokens(settings.identity_key_file)
        poll_limit = PollLimit(settings.poll_limit_per_s)
        records = Records(queue, queueing, settings)
        api = build_api(
            ApiParts(identity, rules, limiter, records, view, identity_tokens, settings, poll_limit, process.stop)
        )
        disk = Disk(settings.queue_folder, settings.queue_min_free_bytes)
        flows = Flows(queue, queueing, settings)
        by_kafka = _by_kafka(flows, queue, queueing, settings)
        deferring = Deferring(by_kafka or flows, disk, limiter, identity, settings)
        upstream, metrics = Upstream(upstream_pools(settings)), Metrics(process.registry)
        stack.push_async_callback(upstream.close)
        judging = Judging(limiter, LocalLimiter(), presence, metrics, Denials())
        served = as_application(NeverCached(api))
        parts = Parts(served, identity, rules, judging, deferring, upstream, identity_tokens, view, metrics, settings)
        background = alongside(
            process,
            rules.run(process.stop),
            presence.run(),
            _ready_once_known(rules, process),
            verifier.run(),
            disk.run(),
            check_queue(queue, settings),
            *((by_kafka.run(),) if by_kafka else ()),
        )
        async with background:
            await serve(Gateway(parts), process, process.listen or Listen("127.0.0.1", 8080), metrics.refused)


def _by_kafka(flows: Flows, queue: Redis, queueing: Scripts, settings: Settings) -> KafkaQueue | None:
    if settings.queue != "kafka":
        return None
    return KafkaQueue(flows, Transit(queue, queueing, settings), Producing(settings), settings)


async def run_admin(process: Process) -> None:
    """The body of `penstock admin`."""
    settings = process.settings
    async with AsyncExitStack() as stack:
        client, cache, queue = mongodb(settings, ADMIN_DEADLINE_S), cache_redis(settings), queue_redis(settings)
        session = http_session()
        stack.callback(client.close)
        stack.push_async_callback(cache.aclose)
        stack.push_async_callback(queue.aclose)
        stack.push_async_callback(session.close)
        counting, queueing = counter_scripts(settings, settings.cache_timeout_ms), queue_scripts(settings)
        stack.push_async_callback(counting.aclose)
        stack.push_async_callback(queueing.aclose)
        store, rules = RuleStore(client[settings.mongodb_database]), RuleCache(cache, settings)
        verifier = TokenVerifier(settings, session, settings.admin_audience)
        gatekeeper = Gatekeeper(verifier, settings)
        operations = Operations(queue, queueing, settings)
        admin = build_admin(store, gatekeeper, rules, RedisLimiter(counting), operations)
        async with alongside(process, rules.run(process.stop), verifier.run()):
            process.ready.set()
            await serve(as_application(admin), process, process.listen or Listen("127.0.0.1", 8081))


async def _ready_once_known(rules: RuleCache, process: Process) -> None:
    while not rules.known:  # noqa: ASYNC110 - it happens once, at the start
        await asyncio.sleep(0.05)
    process.ready.set()
