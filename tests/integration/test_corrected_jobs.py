"""What an attempt to send a job was charged is corrected by its answer, in whatever form that states the cost."""

from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry
from pydantic import HttpUrl

from app.clients import upstream_pools
from app.identity.identity_token import IdentityTokens
from app.limiter.corrections import Corrections
from app.limiter.keys import live_counter
from app.limiter.policy import Charge, CostHeader, Policy
from app.limiter.redis_limiter import RedisLimiter
from app.queue.flows import Flows
from app.queue.records import Records
from app.redis_wire.scripts import Scripts
from app.settings import Settings
from app.upstream.upstream import Upstream
from consumers.answer_breaker import AnswerBreaker
from consumers.delivery import Delivery
from consumers.metrics import WorkerMetrics
from consumers.send_gate import SendGate
from tests.support.flow_steps import accepted, active, deferral, lease, take
from tests.support.raw_app_server import Asked, RawServer, listening

CHARGE = Charge(live_counter("r", "user:u"), Policy(100, 360_000.0, 100, 1), 20, stated_in=CostHeader(b"x-used", False))


@pytest.mark.parametrize(
    ("answer", "left"),
    [
        (b"200 x\r\nX-Used: 5\r\nContent-Length: 2\r\n\r\nok", 95),
        (b"200 x\r\nX-Used: 70\r\nContent-Length: 2\r\n\r\nok", 30),
        (b"500 x\r\nX-Used: 5\r\nContent-Length: 2\r\n\r\nok", 95),
        (b"429 x\r\nX-Used: 0\r\nContent-Length: 2\r\n\r\nok", 100),
        (b"200 x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Used: 5\r\n\r\n", 95),
        (b"200 x\r\nTransfer-Encoding: chunked\r\nX-Used: 6\r\n\r\n2\r\nok\r\n0\r\nX-Used: 5\r\n\r\n", 80),
        (b"200 x\r\nX-Used: 5\r\nContent-Length: 9\r\n\r\ncut", 95),
        (b"200 x\r\nX-Used: 5\r\nContent-Length: 200\r\n\r\n" + b"large" * 40, 95),
        (b"200 x\r\nX-Used: -5\r\nContent-Length: 2\r\n\r\nok", 80),
        (b"200 x\r\nX-Used: 5\r\nX-Used: 7\r\nContent-Length: 2\r\n\r\nok", 80),
        (b"200 x\r\nX-Used: 99999999999999999999\r\nContent-Length: 2\r\n\r\nok", 80),
        (b"200 x\r\nContent-Length: 2\r\n\r\nok", 80),
        (b"", 80),
    ],
)
async def test_an_attempt_is_corrected_once(
    settings: Settings, flows: Flows, records: Records, counting: Scripts, answer: bytes, left: int
) -> None:
    async def says(asked: Asked) -> bool:
        await asked.wire.say(b"HTTP/1.1 " + answer if answer else b"")
        return True

    limiter, metrics = RedisLimiter(counting), WorkerMetrics(CollectorRegistry())
    corrections = Corrections(counting, metrics.corrections_dropped)
    async with listening(RawServer(says)) as port:
        upstreams = (HttpUrl(f"http://127.0.0.1:{port}"),)
        changed = {"upstreams": upstreams, "max_stored_response_bytes": 100, "retry_base_s": 3600.0}
        worker_settings = settings.model_copy(update=changed)
        upstream = Upstream(upstream_pools(worker_settings), fail_fast=True)
        gate = SendGate(upstream, AnswerBreaker())
        delivery = Delivery(flows, upstream, gate, IdentityTokens(None), worker_settings, metrics, corrections)
        job_id = await accepted(flows, deferral(0, active()))
        [flow] = await take(flows)
        [leased] = (await lease(flows, flow, 1)).jobs
        job = replace(leased, corrected=(CHARGE,))
        assert (await limiter.decide((CHARGE,))).allowed
        await delivery.attempt(job, delivery.begin(job), None)
        await upstream.close()
    await corrections.aclose()
    assert (await limiter.inspect([CHARGE])).states[0].remaining == left
    stored = await records.response(job_id)
    assert stored is None or b"x-used" not in [name for name, _ in stored.headers]
