"""Many callers on one counter: they take turns, whatever their backlogs are and whoever came first."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from app.jobs.model import Job, StoredRequest
from app.limiter.keys import descriptor
from app.queue.flows import Flows
from app.queue.model import Deferral, Enqueued, FrozenCharge
from app.queue.records import Records
from app.redis_wire.scripts import Scripts
from app.rules.active import ActiveRule
from app.rules.model import parse_rule
from app.settings import Settings
from tests.support.system import System, running
from tests.support.waiting import eventually

PER_S = 30
TURN = 30
"""Arrivals in which three callers who take turns have ten each."""

DEFERRED_AT_ONCE = 32
ENQUEUED_AT_ONCE = 500
OPENERS = 20
"""Requests at once, for all of which the counter has no slots."""

SHARED: dict[str, Any] = {"key_type": "ip", "key_value": "0.0.0.0/0", "window_seconds": 1, "burst": 1}
SHARED |= {"on_limit": "defer", "queue": {"max_depth": 20_000}}
EACH_USER = {"key_type": "user", "key_value": "*", "limit": 1_000_000, "window_seconds": 1, "on_limit": "defer"}

Waiting = Callable[..., AbstractAsyncContextManager[System]]


@pytest.fixture
async def flows(queue: Redis, queueing: Scripts, settings: Settings) -> Flows:
    flows = Flows(queue, queueing, settings)
    await flows.prepare()
    return flows


@pytest.fixture
def records(queue: Redis, queueing: Scripts, settings: Settings) -> Records:
    return Records(queue, queueing, settings)


@pytest.fixture
def waiting(settings: Settings, tmp_path: Path) -> Waiting:
    """A system without a worker whose shared counter somebody waits for already: whoever comes now is deferred."""

    @asynccontextmanager
    async def begin(per_s: int = PER_S) -> AsyncIterator[System]:
        async with running(settings, tmp_path, workers=0) as system:
            await system.put_rule("shared", limit=per_s, **SHARED)
            await system.put_rule("each-user", **EACH_USER)
            for rule_id in ("shared", "each-user"):
                await system.rule_is_known(rule_id, "opener")

            async def deferred() -> bool:
                requests = (system.request("POST", "/opener", "opener") for _ in range(OPENERS))
                return 202 in {answer.status for answer in await asyncio.gather(*requests)}

            await eventually(deferred, 30, "a request is deferred")
            yield system

    return begin


async def defer(system: System, tenant: str, count: int) -> None:
    """So many deferred jobs of one caller; what the counter happens to have a slot for meanwhile does not count."""
    numbers = iter(range(count))

    async def some() -> None:
        for number in numbers:
            answer = await system.request("POST", f"/{tenant}/{number}", tenant)
            while answer.status == 200:
                answer = await system.request("POST", f"/{tenant}/{number}", tenant)
            assert answer.status == 202, answer.body

    await asyncio.gather(*(some() for _ in range(min(count, DEFERRED_AT_ONCE))))


async def drained(system: System) -> list[str]:
    """Whose jobs have arrived at the app server, in order; not the opener's."""
    tenants = [arrival["target"].split("/")[1] for arrival in await system.arrivals() if arrival["job"]]
    return [tenant for tenant in tenants if tenant != "opener"]


async def in_order_of_leases(system: System, records: Records) -> list[tuple[str, Job]]:
    """The jobs that have arrived, with whose they are, not the opener's, in the order in which they were leased."""
    tenants = {arrival["job"]: arrival["target"].split("/")[1] for arrival in await system.arrivals() if arrival["job"]}
    found = [(tenants[job.id], job) for job in await records.views(0, list(tenants))]
    of_callers = [(tenant, job) for tenant, job in found if tenant != "opener"]
    return sorted(of_callers, key=lambda of_caller: of_caller[1].started_at_ms or 0)


async def drained_at_least(system: System, count: int, within_s: float = 120.0) -> list[str]:
    async def enough() -> bool:
        return await system.arrived_so_far() >= count and len(await drained(system)) >= count

    await eventually(enough, within_s, f"{count} jobs have arrived")
    return await drained(system)


def while_all_have_jobs(order: Sequence[str], jobs: dict[str, int]) -> list[str]:
    """The arrivals up to the one with which the first of the callers had none left."""
    seen: Counter[str] = Counter()
    for at, tenant in enumerate(order):
        seen[tenant] += 1
        if seen[tenant] == jobs[tenant]:
            return list(order[: at + 1])
    turns = [dict(share) for share in shares_of_each_turn(order, TURN)]
    raise AssertionError(f"every caller still has jobs: {dict(seen)} of {jobs}; by turns: {turns}")


def shares_of_each_turn(order: Sequence[str], turn: int) -> list[Counter[str]]:
    return [Counter(order[at : at + turn]) for at in range(0, len(order) - turn + 1, turn)]


async def test_callers_with_very_different_backlogs_take_turns(waiting: Waiting, records: Records) -> None:
    jobs = {"large": 1000, "medium": 100, "small": 10}
    async with waiting() as system:
        for tenant, count in jobs.items():  # the largest backlog was there first
            await defer(system, tenant, count)
        # A turn whose slot a busy machine misses is made up for, but later: here none is missed.
        await system.ready(system.worker(PENSTOCK_SLOT_GRACE_MS="1000"))
        await drained_at_least(system, 240)
        order = [tenant for tenant, _ in await in_order_of_leases(system, records)]
    # Whoever comes first has what is granted ahead before the others are known: the more, the slower the queue is.
    begun = max(order.index(tenant) for tenant in jobs) - 2
    assert begun < TURN / 3, order[:TURN]
    order = order[begun:]
    first = Counter(order[:TURN])
    assert all(9 <= first[tenant] <= 11 for tenant in jobs), first
    two = [tenant for tenant in order[TURN + 5 : 205] if tenant != "small"]  # two callers are left
    assert len(two) >= 165
    for share in shares_of_each_turn(two, TURN):
        assert 14 <= share["medium"] <= 16, share


async def test_each_of_three_callers_gets_a_third_within_three_percent(waiting: Waiting) -> None:
    jobs = {"first": 400, "second": 250, "third": 200}
    async with waiting(per_s=100) as system:
        for tenant, count in jobs.items():
            await defer(system, tenant, count)
        await system.ready(system.worker(), system.worker())
        order = while_all_have_jobs(await drained_at_least(system, 700), jobs)
    total = Counter(order)
    for tenant in jobs:
        assert total[tenant] == pytest.approx(len(order) / 3, rel=0.03), total


async def test_a_caller_who_comes_later_gets_a_third_within_a_second(
    waiting: Waiting, flows: Flows, records: Records
) -> None:
    """What was leased before does not count: on a slow machine jobs are leased some seconds before their slots."""
    async with waiting() as system:
        for tenant in ("first", "second"):
            await defer(system, tenant, 150)
        await system.ready(system.worker())
        before = len(await drained_at_least(system, 2 * PER_S))
        await enqueue(flows, ["late"] * 41, PER_S)  # at once: its jobs do not run out while the others are accepted
        await drained_at_least(system, before + 5 * TURN)
        leased = await in_order_of_leases(system, records)
    accepted_ms = min(job.submitted_at_ms for tenant, job in leased if tenant == "late")
    order = [tenant for tenant, job in leased if (job.started_at_ms or 0) >= accepted_ms]
    first = order.index("late")
    assert first <= PER_S, "the first job of a new caller had to wait for more than a second of slots"
    shares = shares_of_each_turn(order[first : first + 2 * TURN], TURN)
    assert len(shares) == 2
    for share in shares:
        assert all(9 <= share[tenant] <= 11 for tenant in ("first", "second", "late")), share


@pytest.mark.alone
async def test_a_live_request_does_not_pass_those_who_wait_and_waits_for_its_turn_only(
    waiting: Waiting, records: Records
) -> None:
    """What was leased before does not count here either."""
    async with waiting() as system:
        await defer(system, "backlog", 300)
        await system.ready(system.worker())
        await drained_at_least(system, PER_S)
        live: list[str] = []
        for number in range(5):
            answer = await system.request("POST", f"/live/{number}", f"live{number}")
            assert answer.status == 202, "the counter has no slot to spare while others wait for it"
            live.append(answer.json()["id"])
        for number, job_id in enumerate(live):
            assert (await system.ended(job_id, f"live{number}"))["status"] == "succeeded"
        leased = [job for _, job in await in_order_of_leases(system, records)]
    for job in [job for job in leased if job.id in live]:
        waited = [other for other in leased if job.submitted_at_ms <= (other.started_at_ms or 0)]
        assert waited.index(job) < PER_S, "a caller with one job had its turn within a second of slots"


async def test_a_caller_who_waits_for_another_rule_holds_up_nobody(waiting: Waiting) -> None:
    async with waiting() as system:
        hourly = {"key_type": "user", "key_value": "hourly", "window_seconds": 3600, "on_limit": "defer"}
        await system.put_rule("hourly", limit=1, **hourly)
        await system.rule_is_known("hourly", "hourly")
        await defer(system, "other", 200)
        await system.ready(system.worker())
        await drained_at_least(system, PER_S)
        await defer(system, "hourly", 3)  # the shared counter refuses them; the first will take the unit of this hour
        order = await drained_at_least(system, 3 * PER_S)
        assert Counter(order)["hourly"] <= 1
        order = await drained_at_least(system, 201)
        assert Counter(order) == {"hourly": 1, "other": 200}
        await system.put_rule("hourly", limit=1000, **hourly)
        order = await drained_at_least(system, 203, within_s=10)
    assert Counter(order)["hourly"] == 3, "a change of any rule that a job is charged for makes its flow due"


async def test_calls_for_each_job_do_not_depend_on_how_many_callers_wait(
    waiting: Waiting, flows: Flows, queue: Redis, cache: Redis
) -> None:
    used: list[list[float]] = []
    for callers in (10, 10_000, 10):  # few before and after, for how many jobs share a call depends on the machine
        await asyncio.gather(queue.flushall(), cache.flushall())
        async with waiting(per_s=200) as system:
            await enqueue(flows, [f"caller{number % callers}" for number in range(max(2000, callers))], 200)
            await system.ready(system.worker())
            drained_before = len(await drained_at_least(system, 200))
            before = [await calls(each) for each in (queue, cache)]
            jobs = len(await drained_at_least(system, drained_before + 600)) - drained_before
            after = [await calls(each) for each in (queue, cache)]
        used.append([(later - earlier) / jobs for earlier, later in zip(before, after, strict=True)])
        print(f"{callers:,} callers: calls a job of the queue Redis and of the cache Redis: {used[-1]}")
    for few, many, few_again in zip(*used, strict=True):
        assert many <= 1.5 * max(few, few_again) + 0.5, used


async def enqueue(flows: Flows, callers: Sequence[str], per_s: int) -> None:
    """A job of each of these, as an edge would have put them there, where the shared counter permits so many."""
    rule = ActiveRule(parse_rule(SHARED | {"rule_id": "shared", "limit": per_s}), 1)
    for first in range(0, len(callers), ENQUEUED_AT_ONCE):
        some = callers[first : first + ENQUEUED_AT_ONCE]
        answers = await asyncio.gather(*(flows.enqueue(deferral(rule, caller)) for caller in some))
        assert all(isinstance(answer, Enqueued) for answer in answers)


def deferral(rule: ActiveRule, caller: str) -> Deferral:
    whom = descriptor("user", caller)
    charges = (FrozenCharge("shared", descriptor("ip", "0.0.0.0/0"), 1), FrozenCharge("each-user", whom, 1))
    return Deferral(rule, charges, "", StoredRequest("POST", f"/{caller}".encode(), [], b""), whom)


async def calls(redis: Redis) -> int:
    """How many scripts this Redis has run."""
    stats = await redis.info("commandstats")
    return int(stats.get("cmdstat_evalsha", {}).get("calls", 0))
