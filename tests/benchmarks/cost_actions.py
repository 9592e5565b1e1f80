"""The calls of clients, edges, workers and operators whose costs are measured."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import count

from app.jobs.model import JobStatus, encode_request
from app.limiter.keys import descriptor
from app.queue.batches import Batch
from app.queue.cancel_batches import MAX_CANCELED
from app.queue.dead_letter_batches import MAX_BATCH
from app.queue.dead_letter_filter import LATEST_US, DeadLetterFilter, DeadLetterPlace
from app.queue.flow_leases import MAX_LEASED_AT_ONCE, MAX_UNITS_AT_ONCE
from app.queue.flow_settings import setting_names
from app.queue.flow_views import FLOWS_A_LOOK, FlowPageScan, FlowViews
from app.queue.job_details import read_details
from app.queue.job_sources import leased_ids
from app.queue.kafka.model import SpilledJob
from app.queue.kafka.staging import Staging
from app.queue.keys import prefix
from app.queue.model import LeasedJob, Settlement, TakenRing, Wait
from app.queue.outcomes import NEWEST, recent_outcomes
from app.queue.records import CANCELED_AT_ONCE, JOBS_A_CALL, CancelResult
from tests.benchmarks import queue_steps
from tests.benchmarks.cost_meter import Call, CostMeter
from tests.benchmarks.errors import require
from tests.benchmarks.population import SMALL_REQUEST, Population

CALLS = 15
"""How often most calls are made."""

FEW_CALLS = 5
"""How often slower calls are made."""

TIMES_READ = 8
"""How often a call is made that only reads: what the machine's memory costs at the first touch is not the script's."""

TIMES_MANY = 9
"""How often many jobs are canceled: the calls of one situation draw fewer than a thousand jobs."""

LONG_CALLS_S = 0.3
"""For how long the calls are measured that go on until nothing is left to do."""

BATCH = 100
PAGE = 100
ANOTHER_RULE = "another-rule"
FOREVER_S = 3600.0
HOLD_S = 0.01


class Actions:
    """The calls about one population. Their costs are noted under the name of its present situation."""

    def __init__(self, population: Population, meter: CostMeter) -> None:
        self.situation = ""
        self._population = population
        self._flows = population.flows
        self._meter = meter
        self._numbers = count(2)

    async def clients(self, *, can_cancel: bool = True) -> None:
        """Look at, list and cancel jobs, as clients do. `can_cancel`: whether the jobs are canceled then."""
        records, population = self._population.records, self._population
        looks = [partial(records.get, job_id) for job_id in population.sample(CALLS)]
        await self._measure("look at a job", looks * TIMES_READ)
        await self._measure("list a page", [self._pages] * TIMES_READ)
        for action, jobs, times in (("cancel a job", 1, CALLS), ("cancel many", CANCELED_AT_ONCE, TIMES_MANY)):
            some = [population.draw(jobs) for _ in range(times)]
            await self._measure(action, [partial(self._cancel, ids, can_cancel=can_cancel) for ids in some])
        for number in range(1, TIMES_MANY + 1):
            batch, some_ids = Batch(self.situation, number, MAX_CANCELED), population.draw(MAX_CANCELED)
            part = partial(population.cancel_batches.cancel, some_ids, None, batch)
            await self._measure("cancel a batch", [part])

    async def operators(self) -> None:
        """Look at jobs and at those that were leased, as operators do."""
        population = self._population
        some = population.sample(JOBS_A_CALL)
        details = [partial(read_details, population.scripts, job_id) for job_id in population.sample(CALLS)]
        await self._measure("look at a job's attempts", details * TIMES_READ)
        await self._measure(f"look at {len(some)}", [partial(population.records.views, 0, some)] * TIMES_READ)
        for text, what in (("", "all"), ("nobody", "one caller's")):
            look = partial(leased_ids, population.scripts, 0, "0", text=text)
            await self._measure(f"look for {what} among the leased", [look] * FEW_CALLS)

    async def outcomes(self) -> None:
        """Search the last outcomes, as operators do, and add to them, as workers do."""
        search = partial(recent_outcomes, self._population.scripts, 0, NEWEST, BATCH)
        for text, what in (("", "all"), ("nobody", "one caller's")):
            look = partial(search, frozenset(JobStatus), text, only_gone=False)
            await self._measure(f"look for {what} among the outcomes", [look] * FEW_CALLS)
        gone = partial(search, frozenset(JobStatus), "", only_gone=True)
        await self._measure("look for outcomes without records", [gone] * FEW_CALLS)
        failed = partial(search, frozenset({JobStatus.FAILED}), "", only_gone=False)
        await self._measure("look for failures among the outcomes", [failed] * FEW_CALLS)
        await self._lease("settle", BATCH, self._succeed)
        await self._lease("settle", 1, self._succeed)

    async def enqueue(self) -> None:
        """Enqueue jobs, as edges do."""
        enqueue = self._population.enqueue
        keys = [f"key-{next(self._numbers)}" for _ in range(CALLS)]
        await self._measure("enqueue", [enqueue] * CALLS)
        await self._measure("enqueue with a key", [partial(enqueue, key) for key in keys])

    async def work(self) -> None:
        """Take flows, lease jobs and settle them, as workers do."""
        await self.take()
        await self._lease("release", 1, self._flows.release, CALLS)
        await self._lease("settle", BATCH, self._succeed)
        await self._lease("extend", BATCH, self._extend)
        await self._lease("release", MAX_LEASED_AT_ONCE, self._flows.release)
        for _ in range(FEW_CALLS):  # where a flow has one job, one call reclaims all that are in flight
            await self.reclaim()
            await self._lease("extend", BATCH, self._extend, 1)
        await self.reclaim()
        await self._lease("retry", 1, self._retry, CALLS)
        await self._lease("hold", 1, self._hold)

    async def pause(self) -> None:
        """Pause and resume the flows of a rule that is gone, as operators do, each for some time."""
        for paused in (True, False):
            rule_id = self._population.rule.rule_id
            pause = partial(self._population.operations.set_paused, rule_id, paused=paused)
            await self._measure("pause or resume", [partial(_for_a_time, pause)] * FEW_CALLS)

    async def take(self) -> None:
        """Take one flow, and many at once."""
        for flows in (1, queue_steps.FLOWS_A_TAKE):
            await self._measure(f"take {flows}", [partial(self._take, flows)] * FEW_CALLS)

    async def make_due(self) -> None:
        """Make flows due that wait for a place among the requests in flight, as many as one call may."""
        for _ in range(FEW_CALLS):
            taken = await queue_steps.take(self._flows, MAX_UNITS_AT_ONCE - 1)
            for flow in taken:
                await self._flows.give_back(flow, Wait(int(FOREVER_S * 1e6)))
            names = [flow.name for flow in taken]
            await self._measure("make due", [partial(self._flows.make_due, {f"{ANOTHER_RULE}|user:all": names})])

    async def take_turns(self) -> None:
        """Take many rings, and give the next flow of each its turn."""
        await queue_steps.form_rings(self._flows)
        for _ in range(FEW_CALLS):
            rings: list[TakenRing] = []
            await self._measure("take", [partial(queue_steps.take_rings, rings, self._flows)])
            leased: list[LeasedJob] = []
            await self._measure("lease", [partial(queue_steps.lease_turns, leased, self._flows, rings)])
            await self._flows.release(leased)
            for ring in rings:
                await self._flows.give_back(ring, Wait(0))

    async def lease_expired(self) -> None:
        """Lease jobs that have all waited for too long."""
        await self._lease("release", 1, self._flows.release)
        await self._lease("release", MAX_LEASED_AT_ONCE, self._flows.release)

    async def reclaim(self) -> None:
        """Reclaim all jobs that are in flight, for some time; what nothing costs is another row."""
        await self._measure("reclaim", [partial(_for_a_time, partial(self._flows.reclaim, 0, "another", 0.0))])

    async def expire(self) -> None:
        """Look for jobs that have waited for too long, for some time."""
        await self._measure("expire", [partial(_for_a_time, partial(self._flows.expire, 0))] * FEW_CALLS)

    async def in_flight(self, leased: list[LeasedJob]) -> None:
        """Extend, settle, release and retry jobs that have been leased, and look for abandoned ones."""
        for first in range(0, min(len(leased), FEW_CALLS * BATCH), BATCH):
            batch = leased[first : first + BATCH]
            await self._measure(f"extend {BATCH}", [partial(self._extend, batch)])
            await self._measure(f"settle {BATCH // 4}", [partial(self._succeed, batch[: BATCH // 4])])
            await self._measure(f"release {BATCH // 4}", [partial(self._flows.release, batch[-BATCH // 4 :])])
            await self._measure("retry 1", [partial(self._retry, batch[BATCH // 2 :][:1])])
        await self._measure("reclaim nothing", [partial(self._flows.reclaim, 0, "another", FOREVER_S)])

    async def reschedule(self) -> None:
        """Park some flows as if the rule were paused, and change its rate several times, each for some time."""
        for flow in await queue_steps.take(self._flows, FEW_CALLS):
            revision = self._population.rule.revision
            await self._measure("park", [partial(self._flows.park, flow.name, flow.token, revision)])
        for per_s in (1_000, 500_000, 1_000):
            rule = self._population.rule = queue_steps.user_rule(next(self._numbers), per_s)
            change = partial(self._flows.reschedule, rule.rule_id, rule)
            await self._measure("reschedule", [partial(_for_a_time, change)])

    async def purge(self, rule_id: str) -> None:
        """Cancel jobs of a rule, for some time."""
        await self._measure(
            f"purge {rule_id}", [partial(_for_a_time, partial(self._population.operations.purge, rule_id))]
        )

    async def count_waiting(self, rule_id: str) -> None:
        """Count the jobs of a rule that wait, for some time."""
        count = partial(self._population.job_purge.count, rule_id)
        await self._measure(f"count those of {rule_id}", [partial(_for_a_time, count)])

    async def look_at_flows(self) -> None:
        """Look at pages of all flows, and at some of them, as operators do."""
        views, seen, cursor = self._population.views, list[str](), b"0"
        for _ in range(FEW_CALLS):
            pages: list[FlowPageScan] = []
            await self._measure("scan flows", [partial(_scan, pages, views, cursor)])
            seen += [counts.flow for counts in pages[0].flows]
            cursor = pages[0].next or b"0"
        await self._measure("look at flows", [partial(views.details, seen[:FLOWS_A_LOOK])] * FEW_CALLS)
        await self._set_for_flows(seen)

    async def _set_for_flows(self, flows: Sequence[str]) -> None:
        """Pause flows, as operators do, and look at them again, as workers do then."""
        names = [setting_names(flow)[0] for flow in flows]
        pause, scripts = self._population.flow_settings.set_paused, self._population.scripts
        await self._measure("pause a flow", [partial(pause, name, "olga", paused=True) for name in names])
        look = partial(scripts.call, "reconsider", [prefix(0)], [1, *flows[:BATCH]])
        await self._measure("look at paused flows", [look] * FEW_CALLS)
        settings = self._population.flow_settings
        await self._measure(
            "pause a flow for a while",
            [partial(settings.set_paused, name, "olga", paused=False, for_ms=1) for name in names],
        )
        await asyncio.sleep(0.01)
        await self._measure("end what was set for a while", [settings.end_due])

    async def dead_letters(self) -> None:
        """List, discard and replay dead letters one by one, as operators do."""
        population, letters, rule = self._population, self._population.dead_letters, self._population.rule
        every, another = DeadLetterFilter(), DeadLetterFilter(rule_id=ANOTHER_RULE)
        await self._measure("list dead letters", [partial(letters.page, every, PAGE)] * FEW_CALLS)
        starts = await self._with_a_page_behind(population.sample(2 * CALLS))
        await self._measure(
            "list dead letters from there", [partial(letters.page, every, PAGE, start) for start in starts]
        )
        await self._measure("list another rule's", [partial(letters.page, another, PAGE)])
        await self._measure("discard", [partial(letters.discard, job_id) for job_id in population.draw(CALLS)])
        await self._measure("replay", [partial(letters.replay, job_id, rule) for job_id in population.draw(CALLS)])

    async def batches_of_dead_letters(self) -> None:
        """Count, replay and delete dead letters that a filter finds, as operations do."""
        batches, rule, user = self._population.dead_letter_batches, self._population.rule, queue_steps.user_name(0)
        one = DeadLetterFilter(rule_id=rule.rule_id, descriptor=descriptor("user", user), code="attempts_exhausted")
        another = DeadLetterFilter(rule_id=ANOTHER_RULE)
        for wanted, whose in ((one, "a caller's"), (another, "another rule's")):
            await self._measure(f"count {whose}", [partial(_for_a_time, partial(batches.count, wanted))])
            starts = await self._with_a_page_behind(self._population.sample(CALLS + 4)[1:-1])
            for number, start in enumerate(starts, 1):
                batch, until_us = Batch(f"replaying {whose}", number, MAX_BATCH), LATEST_US
                replay = partial(batches.replay, wanted, until_us, start, batch, {rule.rule_id: rule})
                await self._measure(f"replay {whose}", [replay])
                batch = Batch(f"deleting {whose}", number, MAX_BATCH)
                await self._measure(f"delete {whose}", [partial(batches.discard, wanted, until_us, start, batch)])
        await self._lease("fail", 1, self._population.fail, CALLS)

    async def _with_a_page_behind(self, dead: Sequence[str]) -> list[DeadLetterPlace]:
        """Places of some dead letters on both sides of which there is a whole page: a part of one costs less."""
        key, redis = "{q0}:dead", self._population.redis
        count = int(await redis.zcard(key))
        ranks = [(await redis.zrank(key, job_id), job_id) for job_id in dead]
        whole = [job_id for rank, job_id in ranks if isinstance(rank, int) and PAGE < rank < count - PAGE]
        return [DeadLetterPlace(0, int(await redis.zscore(key, one) or 0), one) for one in whole[:FEW_CALLS]]

    async def intake(self) -> None:
        """Record, confirm, abandon and admit jobs whose messages have not been read, as edges and the intake do."""
        population, staging = self._population, self._population.staging
        await self._measure("record", [population.record] * CALLS)
        confirmed, abandoned = population.draw(CALLS), population.draw(CALLS)
        await self._measure("confirm", [partial(staging.confirm_produced, job_id) for job_id in confirmed])
        await self._measure("abandon", [partial(staging.abandon, job_id) for job_id in abandoned])
        batches = [population.draw(BATCH) for _ in range(FEW_CALLS)]
        await self._measure("admit", [partial(population.admit, batch) for batch in batches])

    async def sweep(self) -> None:
        """Cancel jobs whose messages never came, for some time."""
        staging = self._population.staging
        await staging.note_read_until(0, await staging.now_ms() + 1000)
        await self._measure("sweep", [partial(_for_a_time, partial(staging.sweep, 1, 0.0))])

    async def refill(self) -> None:
        """Refill flows with requests from Kafka, as workers do."""
        staging, stored = self._population.staging, encode_request(SMALL_REQUEST)
        for _ in range(FEW_CALLS):
            found: list[SpilledJob] = []
            await self._measure("next to fetch", [partial(_next_to_fetch, found, staging)])
            jobs = [(each.job_id, stored) for each in found][:BATCH]
            if jobs:
                await self._measure("refill", [partial(staging.refill, found[0].flow, jobs)])

    async def publish(self) -> None:
        """Look for dead letters to publish, as workers do."""
        await self._measure("outbox", [partial(self._population.staging.outbox, 0, 0.0)] * FEW_CALLS)

    async def _measure(self, action: str, calls: Sequence[Call]) -> None:
        await self._meter.measure(self.situation, action, calls)

    async def _cancel(self, job_ids: Sequence[str], *, can_cancel: bool) -> None:
        results = await self._population.records.cancel_all(job_ids)
        expected = CancelResult.CANCELED if can_cancel else CancelResult.NOT_WAITING
        require(set(results.values()) == {expected}, f"{self.situation}: {results}")

    async def _pages(self) -> None:
        owner, cursor = queue_steps.owner_by_number(0, self._population.count), None
        for _ in range(2):
            cursor = (await self._population.records.page(owner, PAGE, cursor)).next

    async def _take(self, flows: int) -> None:
        for flow in await queue_steps.take(self._flows, flows):
            await queue_steps.give_back(self._flows, flow)

    async def _lease(
        self, action: str, n: int, then: Callable[[list[LeasedJob]], Awaitable[object]], times: int = FEW_CALLS
    ) -> None:
        """Lease this many jobs and pass them to `then`. Both are measured."""
        for _ in range(times):
            for flow in await queue_steps.take(self._flows, 1):
                leased: list[LeasedJob] = []
                await self._measure(f"lease {n}", [partial(queue_steps.lease_into, leased, self._flows, flow, n)])
                await self._measure("sent", [partial(self._flows.sent, [flow.name], flow.token)])
                await queue_steps.give_back(self._flows, flow)
                if leased:
                    await self._measure(f"{action} {n}", [partial(then, leased)])

    async def _succeed(self, jobs: list[LeasedJob]) -> None:
        await self._flows.settle([Settlement(job, JobStatus.SUCCEEDED, response=queue_steps.RESPONSE) for job in jobs])

    async def _extend(self, jobs: list[LeasedJob]) -> None:
        await self._flows.extend(jobs, "worker")

    async def _retry(self, jobs: list[LeasedJob]) -> None:
        for job in jobs:
            await self._flows.retry(job, FOREVER_S, "app_server", "503", give_back=False)

    async def _hold(self, jobs: list[LeasedJob]) -> None:
        for job in jobs:
            await self._flows.hold(job, HOLD_S, HOLD_S, 0.0, "app_server", "503")
        await asyncio.sleep(2 * HOLD_S)


async def _for_a_time(long: Call) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(LONG_CALLS_S):
            await long()


async def _scan(into: list[FlowPageScan], views: FlowViews, cursor: bytes) -> None:
    into.append(await views.scan(0, cursor))


async def _next_to_fetch(into: list[SpilledJob], staging: Staging) -> None:
    into += (await staging.next_to_fetch(0, 0.001)).jobs
