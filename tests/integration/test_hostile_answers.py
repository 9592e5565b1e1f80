"""Whatever an app server says in its headers: the answer is passed on or is 502, live and deferred; nothing is held."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry
from pydantic import HttpUrl
from redis.asyncio import Redis

import app.main
from app.clients import upstream_pools
from app.http1.client.pool import ConnectionPool
from app.identity.identity_token import IdentityTokens
from app.jobs.model import JobStatus, StoredRequest
from app.limiter.corrections import Corrections, corrections_dropped
from app.queue.flows import Flows
from app.queue.records import Records
from app.redis_wire.scripts import Scripts
from app.settings import Settings
from app.upstream.upstream import Upstream
from consumers.answer_breaker import AnswerBreaker
from consumers.delivery import Delivery
from consumers.metrics import WorkerMetrics
from consumers.send_gate import SendGate
from tests.support.edge_in_process import EVERY_ADDRESS, edge_running, in_force
from tests.support.flow_steps import accepted, active, deferral, lease, take
from tests.support.hostile_headers import heads
from tests.support.job_steps import ask
from tests.support.raw_app_server import Asked, RawServer, listening

STATUSES = (200, 204, 304, 429, 503)
MIXTURES = 60
TOGETHER = 50


def answering(lines: list[bytes]) -> Callable[[Asked], Awaitable[bool]]:
    """Answers `/<status>/<number>` with the lines of this number."""

    async def answer(asked: Asked) -> bool:
        _, status, number = asked.target.split("/")
        await asked.wire.say(b"HTTP/1.1 %b x\r\n%b\r\n\r\nok" % (status.encode(), lines[int(number)]))
        return True

    return answer


async def none_in_use(pools: list[ConnectionPool]) -> None:
    async with asyncio.timeout(30):
        while any(pool.in_use for pool in pools):  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_live_answer_is_passed_on_or_is_502(
    settings: Settings, cache: Redis, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    pools: list[ConnectionPool] = []

    def remembered(settings: Settings) -> list[ConnectionPool]:
        pools.extend(upstream_pools(settings))
        return pools

    monkeypatch.setattr(app.main, "upstream_pools", remembered)
    lines = heads(7, MIXTURES)
    server = RawServer(answering(lines))
    async with listening(server) as port:
        upstreams = (HttpUrl(f"http://127.0.0.1:{port}"),)
        async with edge_running(settings, cache, upstreams=upstreams, counters_timeout_ms=5000.0) as edge:
            await edge.rule("one", **EVERY_ADDRESS, limit=1_000_000, window_seconds=60)
            await in_force(edge, "one")
            for status in STATUSES:
                for begin in range(0, len(lines), TOGETHER):
                    numbers = range(begin, min(begin + TOGETHER, len(lines)))
                    answers = await asyncio.gather(*(ask(edge, method, f"/{status}/{n}") for n in numbers))
                    for number, answer in zip(numbers, answers, strict=True):
                        assert answer.status in {status, 502}, lines[number]
                        assert "ratelimit" in answer.headers or answer.status == 502, lines[number]
            await none_in_use(pools)


async def test_a_job_ends_or_waits_whatever_the_answer_says(
    settings: Settings, flows: Flows, records: Records, counting: Scripts
) -> None:
    lines = heads(11, MIXTURES)
    async with listening(RawServer(answering(lines))) as port:
        patient = {"retry_base_s": 3600.0, "retry_max_s": 3600.0}
        upstreams = (HttpUrl(f"http://127.0.0.1:{port}"),)
        worker_settings = settings.model_copy(update={"upstreams": upstreams} | patient)
        pools = list(upstream_pools(worker_settings))
        upstream = Upstream(pools, fail_fast=True)
        gate = SendGate(upstream, AnswerBreaker())
        delivery = Delivery(
            flows,
            upstream,
            gate,
            IdentityTokens(None),
            worker_settings,
            WorkerMetrics(CollectorRegistry()),
            Corrections(counting, corrections_dropped(CollectorRegistry())),
        )
        targets = [(status, number) for status in (200, 304, 429, 500) for number in range(len(lines))]
        rule = active(queue={"max_depth": 100_000, "max_attempts": 1})
        for begin in range(0, len(targets), TOGETHER):
            found = {}
            for n, (status, number) in enumerate(targets[begin : begin + TOGETHER]):
                request = StoredRequest("GET", b"/%d/%d" % (status, number), [], b"")
                it = replace(deferral(0, rule, user=f"u{begin + n}"), request=request)
                found[await accepted(flows, it)] = status, number
            jobs = [job for flow in await take(flows) for job in (await lease(flows, flow, 1)).jobs if job.id in found]
            assert len(jobs) == len(found)
            await asyncio.gather(*(delivery.attempt(job, delivery.begin(job), None) for job in jobs))
            for job_id, (status, number) in found.items():
                job = await records.get(job_id)
                assert job is not None
                expected = {429: JobStatus.QUEUED, 500: JobStatus.FAILED}.get(status, JobStatus.SUCCEEDED)
                cut = job.status is JobStatus.FAILED and job.error_code == "attempts_exhausted"
                assert job.status is expected or cut, lines[number]
        await none_in_use(pools)
        await upstream.close()
