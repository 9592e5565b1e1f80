"""A worker keeps the leases of all jobs that it has in hand, also while they wait for their slots."""

import asyncio
from time import monotonic

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from app.identity.identity_token import IdentityTokens
from app.limiter.corrections import Corrections
from app.limiter.places import Places
from app.queue import keys
from app.queue.flows import Flows
from app.redis_wire.scripts import Scripts
from app.settings import Settings
from app.upstream.upstream import Upstream
from consumers.answer_breaker import AnswerBreaker
from consumers.concurrency_limit import ConcurrencyLimit
from consumers.delivery import Delivery
from consumers.in_flight import InFlight
from consumers.job_places import JobPlaces
from consumers.metrics import WorkerMetrics
from consumers.reclaimer import OwnLeases
from consumers.send_gate import SendGate
from consumers.sender import Sender
from tests.support.flow_machine import LONG_US
from tests.support.flow_steps import accepted, deferral, ids, lease, take

LEASE_S = 0.5
CONSUMER = "c"


@pytest.fixture
def sender_and_leases(flows: Flows, settings: Settings, counting: Scripts) -> tuple[Sender, OwnLeases]:
    metrics, upstream = WorkerMetrics(CollectorRegistry()), Upstream([])
    gate = SendGate(upstream, AnswerBreaker())
    corrections = Corrections(counting, metrics.corrections_dropped)
    delivery = Delivery(flows, upstream, gate, IdentityTokens(None), settings, metrics, corrections)
    places = JobPlaces(Places(counting))
    sender = Sender(flows, delivery, upstream, gate, InFlight(10), places, ConcurrencyLimit(0.01), metrics, 0.02)
    return sender, OwnLeases(delivery, sender, LEASE_S, CONSUMER)


async def test_jobs_that_wait_for_their_slots_are_nobody_elses(
    flows: Flows, queue: Redis, sender_and_leases: tuple[Sender, OwnLeases]
) -> None:
    """With a slow disk jobs are leased seconds before their slots, which may be longer than a lease."""
    sender, own_leases = sender_and_leases
    expected = [await accepted(flows, deferral(number)) for number in range(3)]
    [flow] = await take(flows, LONG_US)
    jobs = (await lease(flows, flow, 3, LONG_US)).jobs
    pacer = sender.begin(flow.name)
    slot_s = monotonic() + 2 * LEASE_S
    pacer.add(jobs, [slot_s, slot_s, slot_s])
    await asyncio.sleep(LEASE_S)
    await own_leases.extend_if_late()
    assert await flows.reclaim(0, "another", LEASE_S) == (0, 0)
    idle = await queue.xpending_range(keys.prefix(0) + "jobs", "workers", "-", "+", 10)
    assert [entry["consumer"] for entry in idle] == [CONSUMER.encode()] * 3
    assert ids(pacer.unsent) == expected


async def test_jobs_that_missed_their_slots_are_in_hand_no_more(
    flows: Flows, sender_and_leases: tuple[Sender, OwnLeases]
) -> None:
    sender, _ = sender_and_leases
    await accepted(flows, deferral(0))
    [flow] = await take(flows, LONG_US)
    [job] = (await lease(flows, flow, 1, LONG_US)).jobs
    pacer = sender.begin(flow.name)
    pacer.add([job], [monotonic() - 1])  # long past
    assert list(sender.unsent) == [job]
    assert await sender.end(flow.name, pacer)
    assert list(sender.unsent) == []
