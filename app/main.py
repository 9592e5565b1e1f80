"""Starts the edge, which it composes of its parts, and the admin process, which app/admin/process.py composes."""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any

from fastapi import FastAPI

from app.clients import Clients, open_clients, upstream_pools
from app.edge.api import build_api
from app.edge.deferral import JobSubmitter
from app.edge.denial_cache import DenialCache
from app.edge.gateway import Gateway, GatewayParts
from app.edge.heartbeat import EdgeHeartbeat
from app.edge.job_renderer import JobRenderer
from app.edge.limit_checker import LimitChecker
from app.edge.metrics import EdgeMetrics
from app.edge.poll_limit import PollLimit
from app.edge.routes.dependencies import ApiParts
from app.http1.server.asgi import as_application
from app.identity.authentication import Authenticator
from app.identity.identity_token import load_identity_tokens
from app.identity.tokens import TokenVerifier
from app.limiter.corrections import Corrections
from app.limiter.local_limiter import LocalLimiter
from app.limiter.places import Places
from app.limiter.redis_limiter import RedisLimiter
from app.process.heartbeat import RATE_SAMPLES, ProcessHeartbeat
from app.process.lifecycle import Process, alongside
from app.process.listen import Listen
from app.process.rate_window import RateWindow
from app.process.serving import serve
from app.queue.brokers import build_job_queue
from app.queue.checks import check_queue
from app.queue.disk import Disk
from app.queue.records import Records
from app.rules.cache import RuleCache
from app.rules.version_age import RulesVersionAge
from app.traffic.exchange import TrafficPublisher
from app.traffic.samples import TrafficSamples
from app.upstream.breaker_metrics import BreakerMetrics
from app.upstream.upstream import Upstream
from app.web.cors import CorsPolicy
from app.web.head_requests import HeadAsGetMiddleware
from app.web.problem_handlers import OwnHeadersMiddleware

EDGE_ADDRESS = Listen("127.0.0.1", 8080)


async def run_edge(process: Process) -> None:
    """Run `penstock edge`: serve the data plane until the process is told to stop."""
    settings = process.settings
    async with AsyncExitStack() as stack:
        clients = await stack.enter_async_context(open_clients(settings, settings.counters_timeout_ms))
        upstream = Upstream(upstream_pools(settings))
        stack.push_async_callback(upstream.close)
        BreakerMetrics(process.registry, upstream.breakers_open)
        edge = EdgeComposition(process, clients)
        stack.push_async_callback(edge.places.finish)
        stack.push_async_callback(edge.corrections.aclose)
        gateway = edge.gateway(upstream)
        await stack.enter_async_context(alongside(process, *edge.background(), edge.heartbeat(upstream).run()))
        own_headers = None if edge.cors.is_off else edge.cors.headers_for
        await serve(gateway, process, process.listen or EDGE_ADDRESS, edge.metrics.refused, own_headers)


async def run_admin(process: Process) -> None:
    """Run `penstock admin`. Its modules are imported here, because an edge does without them."""
    from app.admin.process import run_admin_process  # noqa: PLC0415

    await run_admin_process(process)


class EdgeComposition:
    """The parts of one edge. Those that are attributes are shared by the gateway, the API and the background tasks."""

    def __init__(self, process: Process, clients: Clients) -> None:
        settings = process.settings
        self._process = process
        self._settings = settings
        self._clients = clients
        self._rules = RuleCache(
            clients.cache, settings, settings.rules_timeout_ms / 1000, settings.counters_timeout_ms / 1000
        )
        self._limiter = RedisLimiter(clients.counter_scripts, settings.rule_cache_size)
        self.places = Places(clients.counter_scripts)
        self._heartbeat = EdgeHeartbeat(clients.cache)
        self._traffic = TrafficSamples()
        self._verifier = TokenVerifier(settings, clients.http, settings.jwt_audience)
        self._authenticator = Authenticator(self._verifier, settings)
        self._identity_tokens = load_identity_tokens(settings)
        self._disk = Disk(settings.queue_folder, settings.queue_min_free_bytes)
        self._job_queue = build_job_queue(clients.queue, clients.queue_scripts, settings)
        self._job_renderer = JobRenderer(settings, self._authenticator.trusts)
        self.cors = CorsPolicy(settings.cors_origins)
        self._poll_limit = PollLimit(settings.poll_limit_per_s)
        self.metrics = EdgeMetrics(process.registry)
        self.corrections = Corrections(clients.counter_scripts, self.metrics.corrections_dropped)

    def gateway(self, upstream: Upstream) -> Gateway:
        """The application that every request enters."""
        return Gateway(
            GatewayParts(
                api=as_application(HeadAsGetMiddleware(OwnHeadersMiddleware(self._api()))),
                cors=self.cors,
                authenticator=self._authenticator,
                rules=self._rules,
                limit_checker=self._limit_checker(),
                traffic=self._traffic,
                places=self.places,
                job_submitter=self._job_submitter(),
                upstream=upstream,
                identity_tokens=self._identity_tokens,
                job_renderer=self._job_renderer,
                metrics=self.metrics,
                settings=self._settings,
            )
        )

    def background(self) -> list[Coroutine[Any, Any, None]]:
        """What runs beside the server."""
        return [
            self._rules.run(self._process.stop),
            self._heartbeat.run(),
            TrafficPublisher(self._clients.cache, self._traffic).run(self._process.stop),
            self.places.run(),
            _set_ready_with_rules(self._rules, self._process.ready),
            self._verifier.run(),
            self._disk.run(),
            check_queue(self._clients.queue, self._settings),
            self._job_queue.run(),
        ]

    def heartbeat(self, upstream: Upstream) -> ProcessHeartbeat:
        """What tells operators that this edge runs, which rules it has, and how it decides."""
        version_age, metrics = RulesVersionAge(self._rules), self.metrics
        decided_within = RateWindow(RATE_SAMPLES)
        return ProcessHeartbeat(
            self._clients.cache,
            "edge",
            lambda: (
                version_age.report()
                | {
                    "breakers_open": upstream.breakers_open(),
                    "decided_within_per_s": decided_within.add(metrics.decided_in_s.counts()),
                }
            ),
            metrics.decisions,
        )

    def _api(self) -> FastAPI:
        """The routes below `/_penstock/`."""
        return build_api(
            ApiParts(
                authenticator=self._authenticator,
                rules=self._rules,
                limiter=self._limiter,
                records=Records(self._clients.queue, self._clients.queue_scripts, self._settings),
                job_renderer=self._job_renderer,
                identity_tokens=self._identity_tokens,
                settings=self._settings,
                poll_limit=self._poll_limit,
                draining=self._process.draining,
                on_unavailable=self.metrics.refused,
            )
        )

    def _limit_checker(self) -> LimitChecker:
        return LimitChecker(
            limiter=self._limiter,
            local=LocalLimiter(held=self.places.held),
            heartbeat=self._heartbeat,
            metrics=self.metrics,
            denial_cache=DenialCache(),
            corrections=self.corrections,
            callers=self._settings.rule_cache_size,
        )

    def _job_submitter(self) -> JobSubmitter:
        return JobSubmitter(
            queue=self._job_queue,
            disk=self._disk,
            limiter=self._limiter,
            authenticator=self._authenticator,
            poll_limit=self._poll_limit,
            rules=self._rules,
            settings=self._settings,
        )


async def _set_ready_with_rules(rules: RuleCache, ready: asyncio.Event) -> None:
    """Set `ready` once the rules are known."""
    while not rules.has_rules:  # noqa: ASYNC110 - it happens once, at the start
        await asyncio.sleep(0.05)
    ready.set()
