"""A slot at which nothing was sent, though the next is an hour away, is given back, and the flow soon has it again."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter
from pydantic import HttpUrl
from redis.asyncio import Redis

from app.clients import upstream_pools
from app.identity.identity_token import IdentityTokens
from app.limiter.corrections import Corrections
from app.limiter.places import Places
from app.limiter.redis_limiter import RedisLimiter
from app.queue.flows import Flows
from app.queue.model import FlowHead, FrozenCharge, TakenFlow, TakenRing, Wait
from app.redis_wire.scripts import Scripts
from app.rules.active import ActiveRule
from app.rules.cache import RuleCache
from app.settings import Settings
from app.upstream.upstream import Upstream
from consumers.answer_breaker import AnswerBreaker
from consumers.concurrency_limit import ConcurrencyLimit
from consumers.delivery import Delivery
from consumers.draining import Draining
from consumers.in_flight import InFlight
from consumers.job_places import JobPlaces
from consumers.metrics import WorkerMetrics
from consumers.place_waiting import PlaceWaiting
from consumers.send_gate import SendGate
from consumers.sender import Sender
from consumers.slots import SlotSource
from consumers.turn_taking import TurnTaking
from sync.publisher import Publisher
from tests.support.flow_settings import no_flow_settings
from tests.support.flow_steps import LONG_US, accepted, active, deferral, take, take_units
from tests.support.raw_app_server import RawServer, listening
from tests.support.rules import publish_all
from tests.support.waiting import eventually

HOURLY: dict[str, Any] = {"limit": 1, "window_seconds": 3600}
SHARED = "ip:0.0.0.0/0"
ALWAYS_LATE_S = -1000.0
"""A grace with which every slot has been missed when its time comes."""


@dataclass
class Worker:
    """The parts of a worker that misses every slot."""

    slots: SlotSource
    draining: Draining
    turn_taking: TurnTaking
    missed: Counter

    @property
    def has_missed_one(self) -> bool:
        [metric] = self.missed.collect()
        return metric.samples[0].value == 1

    async def has_a_slot(self, head: FlowHead, rule: ActiveRule) -> bool:
        return len((await self.slots.acquire(head, rule, 1, 1)).slots_s) == 1


@pytest.fixture
async def upstream(settings: Settings) -> AsyncIterator[Upstream]:
    async with listening(RawServer()) as port:
        url = HttpUrl(f"http://127.0.0.1:{port}")
        upstream = Upstream(list(upstream_pools(settings.model_copy(update={"upstreams": (url,)}))), fail_fast=True)
        yield upstream
        await upstream.close()


@pytest.fixture
async def late(flows: Flows, cache: Redis, counting: Scripts, settings: Settings, upstream: Upstream) -> Worker:
    await publish_all(Publisher(cache), [], 1)  # a flow's rule is then the last version of it that the queue has
    metrics, in_flight = WorkerMetrics(CollectorRegistry()), InFlight(10)
    gate = SendGate(upstream, AnswerBreaker())
    corrections = Corrections(counting, metrics.corrections_dropped)
    delivery = Delivery(flows, upstream, gate, IdentityTokens(None), settings, metrics, corrections)
    places = Places(counting)
    job_places, limit = JobPlaces(places), ConcurrencyLimit(0.01)
    sender = Sender(flows, delivery, upstream, gate, in_flight, job_places, limit, metrics, ALWAYS_LATE_S)
    rules, known = RuleCache(cache, settings), no_flow_settings(flows)
    slots = SlotSource(RedisLimiter(counting), places, flows, rules, known, settings)
    parts = (flows, slots, sender, in_flight, job_places, PlaceWaiting(flows, cache), 200_000, "c")
    return Worker(slots, Draining(*parts), TurnTaking(*parts), metrics.missed_slots)


async def again(flows: Flows) -> TakenFlow | TakenRing:
    """The unit that is due again, soon."""
    [unit] = await due_again(flows, 1)
    return unit


async def due_again(flows: Flows, count: int) -> list[TakenFlow | TakenRing]:
    """So many units that are due again, soon."""
    found: list[TakenFlow | TakenRing] = []

    async def are_due() -> bool:
        found.extend(await take_units(flows, LONG_US))
        return len(found) >= count

    await eventually(are_due, 10, "they are due again")
    return found


@pytest.mark.parametrize("algorithm", ["gcra", "sliding_window"])
async def test_a_flow_that_missed_its_slot_of_the_hour_has_it_again(flows: Flows, late: Worker, algorithm: str) -> None:
    rule = active(**HOURLY, algorithm=algorithm, drain=None)
    await accepted(flows, deferral(rule=rule))
    [flow] = await take(flows, LONG_US)
    await late.draining.drain(flow, lambda: False)
    assert late.has_missed_one
    due = await again(flows)
    assert isinstance(due, TakenFlow)
    assert due.head.depth == 1
    assert await late.has_a_slot(due.head, rule)
    assert not await late.has_a_slot(due.head, rule), "there is one an hour"


async def test_a_slot_whose_flow_was_lost_meanwhile_is_there_for_who_has_it(flows: Flows, late: Worker) -> None:
    rule = active(drain=HOURLY)
    await accepted(flows, deferral(rule=rule))
    [lost] = await take(flows, 1000)
    flow = await again(flows)
    assert isinstance(flow, TakenFlow)
    await late.draining.drain(lost, lambda: False)
    assert await late.has_a_slot(flow.head, rule)


async def test_a_ring_that_missed_its_slot_of_the_hour_has_it_again(flows: Flows, late: Worker) -> None:
    rule = active(key_type="ip", key_value="0.0.0.0/0", drain=HOURLY)
    for user in ("ann", "bob"):
        charges = (FrozenCharge("r", SHARED, 1), FrozenCharge("each", f"user:{user}", 1))
        await accepted(flows, deferral(0, rule, charges=charges, caller=f"user:{user}"))
    for flow in await take(flows, LONG_US):
        await flows.give_back(flow, Wait(0, f"r|{SHARED}", 1000))
    [ring] = await take_units(flows, LONG_US)
    assert isinstance(ring, TakenRing)
    await late.turn_taking.drain(ring, lambda: False)
    assert late.has_missed_one
    ring_again = await again(flows)
    assert isinstance(ring_again, TakenRing)
    assert sorted(head.name for head in ring_again.heads) == sorted(head.name for head in ring.heads)
    assert await late.has_a_slot(ring_again.heads[0], rule)


async def test_a_flow_that_left_its_ring_has_its_missed_slot_of_the_hour_again(
    flows: Flows, cache: Redis, late: Worker
) -> None:
    """The shared counter permits a hundred a second, and each caller has a limit of one an hour besides."""
    await publish_all(Publisher(cache), [active(key_type="user", rule_id="each", **HOURLY).rule], 2)
    rule = active(key_type="ip", key_value="0.0.0.0/0", drain={"limit": 100, "window_seconds": 1})
    for number, user in enumerate(("ann", "ann", "bob", "bob")):
        charges = (FrozenCharge("r", SHARED, 1), FrozenCharge("each", f"user:{user}", 1))
        await accepted(flows, deferral(number, rule, charges=charges, caller=f"user:{user}"))
    for flow in await take(flows, LONG_US):
        await flows.give_back(flow, Wait(0, f"r|{SHARED}", 1000))
    [ring] = await take_units(flows, LONG_US)
    assert isinstance(ring, TakenRing)
    await late.turn_taking.drain(ring, lambda: False)
    due = await due_again(flows, 2)
    assert {unit.head.name for unit in due if isinstance(unit, TakenFlow)} == {head.name for head in ring.heads}
    for unit in due:
        assert isinstance(unit, TakenFlow)
        assert unit.head.depth == 2
        assert await late.has_a_slot(unit.head, rule)
        assert not await late.has_a_slot(unit.head, rule), "there is one an hour"


async def test_a_slot_that_comes_again_soon_stays_missed(flows: Flows, late: Worker) -> None:
    """The pace of what follows depends on it."""
    rule = active(drain={"limit": 10, "window_seconds": 1})
    await accepted(flows, deferral(rule=rule))
    [flow] = await take(flows, LONG_US)
    grant = await late.slots.acquire(flow.head, rule, 1, 1)
    assert len(grant.slots_s) == 1
    assert not await late.slots.give_back(grant)
