"""A worker keeps the leases of all jobs that it has in hand, also while they wait for their slots."""

import asyncio
from collections.abc import Sequence
from time import monotonic
from typing import cast

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from app.clients import queue_redis, queue_scripts
from app.errors import QueueUnavailable
from app.identity.identity_token import IdentityTokens
from app.limiter.corrections import Corrections
from app.limiter.places import Places
from app.process.lifecycle import cancel
from app.queue import keys
from app.queue.flows import Flows
from app.queue.model import LeasedJob
from app.queue.reads import now_us
from app.redis_wire.scripts import Scripts
from app.settings import Settings
from app.upstream.upstream import Upstream
from consumers.answer_breaker import AnswerBreaker
from consumers.concurrency_limit import ConcurrencyLimit
from consumers.delivery import Delivery
from consumers.in_flight import InFlight
from consumers.job_places import JobPlaces
from consumers.metrics import WorkerMetrics
from consumers.reclaimer import OwnLeases, reclaim_periodically
from consumers.send_gate import SendGate
from consumers.sender import Sender
from tests.support.fault_proxy import Fault, proxied
from tests.support.flow_steps import LONG_US, accepted, deferral, idle_for, ids, lease, leased, pending, take
from tests.support.waiting import eventually

LEASE_S = 0.5
LONG_LEASE_S = 600.0
"""A lease that lasts for all of a test, unless the test says that so much time has passed."""

CONSUMER = "c"


@pytest.fixture
def sending(flows: Flows, settings: Settings, counting: Scripts) -> tuple[Sender, Delivery]:
    metrics, upstream = WorkerMetrics(CollectorRegistry()), Upstream([])
    gate = SendGate(upstream, AnswerBreaker())
    corrections = Corrections(counting, metrics.corrections_dropped)
    delivery = Delivery(flows, upstream, gate, IdentityTokens(None), settings, metrics, corrections)
    places = JobPlaces(Places(counting))
    return Sender(
        flows, delivery, upstream, gate, InFlight(10), places, ConcurrencyLimit(0.01), metrics, 0.02
    ), delivery


async def test_jobs_that_wait_for_their_slots_are_nobody_elses(
    flows: Flows, queue: Redis, sending: tuple[Sender, Delivery], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a slow disk jobs are leased seconds before their slots, which may be longer than a lease."""
    sender, delivery = sending
    own_leases = OwnLeases(flows, delivery, sender, LONG_LEASE_S, CONSUMER)
    expected = [await accepted(flows, deferral(number)) for number in range(3)]
    [flow] = await take(flows, LONG_US)
    jobs = (await lease(flows, flow, 3, LONG_US)).jobs
    pacer = sender.begin(flow.name)
    slot_s = monotonic() + 2 * LONG_LEASE_S
    pacer.add(jobs, [slot_s, slot_s, slot_s])
    await idle_for(queue, LONG_LEASE_S)
    monkeypatch.setattr("consumers.reclaimer.monotonic", lambda: monotonic() + LONG_LEASE_S)  # for the worker too
    await own_leases.extend_if_late()
    assert await flows.reclaim(0, "another", LONG_LEASE_S) == (0, 0)
    idle = await queue.xpending_range(keys.prefix(0) + "jobs", "workers", "-", "+", 10)
    assert [entry["consumer"] for entry in idle] == [CONSUMER.encode()] * 3
    assert ids(pacer.unsent) == expected


async def test_jobs_that_missed_their_slots_are_in_hand_no_more(flows: Flows, sending: tuple[Sender, Delivery]) -> None:
    sender, _ = sending
    await accepted(flows, deferral(0))
    [flow] = await take(flows, LONG_US)
    [job] = (await lease(flows, flow, 1, LONG_US)).jobs
    pacer = sender.begin(flow.name)
    pacer.add([job], [monotonic() - 1])  # long past
    assert list(sender.unsent) == [job]
    assert await sender.end(flow.name, pacer)
    assert list(sender.unsent) == []


async def test_a_call_to_reclaim_that_a_redis_which_hung_gets_late_takes_nothing(
    flows: Flows, queue: Redis, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await accepted(flows, deferral())
    await leased(flows)
    async with proxied(settings.queue_redis_url) as (url, proxy):
        # The call is soon too old; its clients wait for it for long, so that its reply can be seen.
        behind = settings.model_copy(update={"queue_redis_url": url, "queue_timeout_ms": 30_000.0})
        scripts, redis = queue_scripts(behind), queue_redis(behind)
        held_back = Flows(redis, scripts, behind.model_copy(update={"queue_timeout_ms": 100.0}))
        assert await held_back.reclaim(0, "another", 3600) == (0, 0)
        asked: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def then_it_hangs(redis: Redis) -> int:
            now = await now_us(redis)
            await proxy.set(Fault.HANG)
            asked.set_result(now)
            return now

        async def is_too_old() -> bool:
            return await now_us(queue) > await asked + 100_000

        with monkeypatch.context() as patch:
            patch.setattr("app.queue.flows.now_us", then_it_hangs)
            late = asyncio.create_task(held_back.reclaim(0, "another", 0.0))
            await eventually(is_too_old, 10, "the call that is held back is too old")
            assert not late.done(), "it has not come yet"
            await proxy.set(Fault.NONE)
            assert await late == (0, 0)
        assert await pending(queue) == 1
        await scripts.aclose()
        await redis.aclose()
    assert await flows.reclaim(0, "another", 0.0) == (1, 0)


async def test_after_an_outage_other_workers_have_the_time_of_a_lease_to_extend_theirs(
    flows: Flows, queue: Redis, settings: Settings, sending: tuple[Sender, Delivery]
) -> None:
    class Outage:
        """Flows that cannot be reached, although another worker has a job of theirs in hand."""

        is_over = False

        async def extend(self, jobs: Sequence[LeasedJob], consumer: str) -> None:
            if not self.is_over:
                raise QueueUnavailable("away")
            await flows.extend(jobs, consumer)

        async def reclaim(self, partition: int, consumer: str, min_idle_s: float) -> tuple[int, int]:
            if not self.is_over:
                raise QueueUnavailable("away")
            return await flows.reclaim(partition, consumer, min_idle_s)

    outage, (sender, delivery) = Outage(), sending
    away = cast(Flows, outage)
    await accepted(flows, deferral())
    await leased(flows)
    own = OwnLeases(away, delivery, sender, LEASE_S, CONSUMER)
    often = settings.model_copy(update={"lease_s": LEASE_S, "reclaim_interval_s": 0.01})
    reclaiming = asyncio.create_task(
        reclaim_periodically(away, often, WorkerMetrics(CollectorRegistry()), own, CONSUMER)
    )
    extending = asyncio.create_task(own.run())
    try:
        await asyncio.sleep(1.2 * LEASE_S)
        outage.is_over, over_at_s = True, monotonic()

        async def is_reclaimed() -> bool:
            return await pending(queue) == 0

        await eventually(is_reclaimed, 20, "what nobody has extended is reclaimed")
        assert monotonic() - over_at_s >= LEASE_S
    finally:
        await cancel({reclaiming, extending})
