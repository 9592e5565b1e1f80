"""Builds the two ASGI applications, data plane and admin, and runs them."""

import asyncio
from contextlib import AsyncExitStack

from app.admin.application import build_admin
from app.admin.auth import Gatekeeper
from app.clients import (
    cache_redis,
    counter_scripts,
    http_client,
    mongodb,
    queue_redis,
    queue_scripts,
    upstream_pools,
)
from app.edge.api import build_api
from app.edge.deferral import Deferring
from app.edge.denial_cache import DenialCache
from app.edge.gateway import Gateway, Parts
from app.edge.job_view import JobView
from app.edge.limit_checker import LimitChecker
from app.edge.metrics import EdgeMetrics
from app.edge.poll_limit import PollLimit
from app.edge.presence import Presence
from app.edge.routes.dependencies import ApiParts
from app.http1.server.asgi import as_application
from app.identity.authentication import Authenticator
from app.identity.identity_token import load_identity_tokens
from app.identity.tokens import TokenVerifier
from app.limiter.local_limiter import LocalLimiter
from app.limiter.redis_limiter import RedisLimiter
from app.process.lifecycle import Listen, Process, alongside
from app.process.serving import serve
from app.queue.brokers import build_job_queue
from app.queue.checks import check_queue
from app.queue.disk import Disk
from app.queue.operations import Operations
from app.queue.records import Records
from app.rules.cache import RuleCache
from app.rules.store import RuleStore
from app.upstream.upstream import Upstream
from app.web.problem_handlers import NeverCached

ADMIN_DEADLINE_S = 3.0
"""How long one call to MongoDB may take: whoever waits for the admin API is told within a few seconds."""


async def run_edge(process: Process) -> None:
    """The body of `penstock edge`."""
    settings = process.settings
    async with AsyncExitStack() as stack:
        cache, queue, session = cache_redis(settings), queue_redis(settings), http_client()
        stack.push_async_callback(cache.aclose)
        stack.push_async_callback(queue.aclose)
        stack.push_async_callback(session.aclose)
        counting, queueing = counter_scripts(settings, settings.counters_timeout_ms), queue_scripts(settings)
        stack.push_async_callback(counting.aclose)
        stack.push_async_callback(queueing.aclose)
        rules, view = RuleCache(cache, settings, settings.counters_timeout_ms / 1000), JobView(settings)
        limiter = RedisLimiter(counting)
        presence = Presence(cache)
        verifier = TokenVerifier(settings, session, settings.jwt_audience)
        identity = Authenticator(verifier, settings)
        identity_tokens = load_identity_tokens(settings.identity_key_file)
        poll_limit = PollLimit(settings.poll_limit_per_s)
        records = Records(queue, queueing, settings)
        api = build_api(
            ApiParts(identity, rules, limiter, records, view, identity_tokens, settings, poll_limit, process.stop)
        )
        disk = Disk(settings.queue_folder, settings.queue_min_free_bytes)
        job_queue = build_job_queue(queue, queueing, settings)
        deferring = Deferring(job_queue, disk, limiter, identity, settings)
        upstream, metrics = Upstream(upstream_pools(settings)), EdgeMetrics(process.registry)
        stack.push_async_callback(upstream.close)
        limit_checker = LimitChecker(limiter, LocalLimiter(), presence, metrics, DenialCache())
        served = as_application(NeverCached(api))
        parts = Parts(
            served, identity, rules, limit_checker, deferring, upstream, identity_tokens, view, metrics, settings
        )
        background = alongside(
            process,
            rules.run(process.stop),
            presence.run(),
            _ready_once_known(rules, process),
            verifier.run(),
            disk.run(),
            check_queue(queue, settings),
            job_queue.run(),
        )
        async with background:
            await serve(Gateway(parts), process, process.listen or Listen("127.0.0.1", 8080), metrics.refused)


async def run_admin(process: Process) -> None:
    """The body of `penstock admin`."""
    settings = process.settings
    async with AsyncExitStack() as stack:
        client, cache, queue = mongodb(settings, ADMIN_DEADLINE_S), cache_redis(settings), queue_redis(settings)
        session = http_client()
        stack.callback(client.close)
        stack.push_async_callback(cache.aclose)
        stack.push_async_callback(queue.aclose)
        stack.push_async_callback(session.aclose)
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
