"""Very many jobs in the same state, brought there through the interface of the queue."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count as count_up

from redis.asyncio import Redis

from app.clients import queue_redis
from app.jobs.model import JobStatus, encode_request
from app.queue.flows import Flows
from app.queue.kafka.model import IntakeMessage, MessageLocation
from app.queue.kafka.staging import Staging
from app.queue.model import Deferral, Enqueued, Full, LeasedJob, Settlement
from app.queue.operations import Operations
from app.queue.records import Records
from app.redis_wire.scripts import Scripts
from app.rules.active import ActiveRule
from app.settings import Settings
from tests.benchmarks import queue_steps
from tests.benchmarks.cost_meter import MeteredNode
from tests.benchmarks.errors import WrongAnswer, require

AT_ONCE = 500
"""Calls in one turn of the event loop."""

KAFKA_WINDOW = 200
"""Requests of a flow that are held in the queue Redis: fewer than the smallest population has jobs."""

PACE_JOBS = 100
"""The number of jobs by which the duration of calls is estimated."""

SMALL_REQUEST = queue_steps.request_of(0)


@dataclass
class Population:
    """The jobs of one rule in one or many flows, on a queue Redis of their own."""

    redis: Redis
    node: MeteredNode
    scripts: Scripts
    flows: Flows
    records: Records
    operations: Operations
    staging: Staging
    rule: ActiveRule
    count: int = 1
    """The number of flows."""
    ids: list[str] = field(default_factory=list)
    """The ids of all jobs in the order in which they were accepted."""
    _offsets: Iterator[int] = field(default_factory=count_up)

    @classmethod
    def on(cls, url: str) -> "Population":
        """An empty population on this Redis. Its calls may take very long."""
        settings = Settings(queue_redis_url=url, queue_timeout_ms=600_000, kafka_window=KAFKA_WINDOW)
        redis, node = queue_redis(settings), MeteredNode(url, settings.queue_timeout_ms / 1000)
        scripts = Scripts(node, "app.queue")
        flows, records = Flows(redis, scripts, settings), Records(redis, scripts, settings)
        operations, staging = Operations(redis, scripts, settings), Staging(redis, scripts, settings)
        return cls(redis, node, scripts, flows, records, operations, staging, queue_steps.user_rule())

    async def begin(self, rule: ActiveRule, count: int = 1) -> None:
        """Empty the Redis, and prepare it for jobs of this rule. It writes nothing to disk."""
        await self.redis.flushall(asynchronous=False)
        for name, value in (("appendonly", "no"), ("maxmemory", 0)):
            await self.redis.config_set(name, value)
        await self.scripts.load()
        await self.flows.prepare()
        self.rule, self.count, self.ids = rule, count, []

    async def aclose(self) -> None:
        """Close the connections."""
        await self.redis.aclose()
        await self.scripts.aclose()

    async def enqueue(self, key: str | None = None) -> str:
        """Enqueue one more job. Returns its id."""
        return await self._add(self.flows.enqueue(self.next(key)))

    async def record(self) -> str:
        """Record one more job whose request comes through Kafka. Returns its id."""
        return await self._add(self._recorded(self.next()))

    def next(self, key: str | None = None) -> Deferral:
        """The request of the next job."""
        return queue_steps.deferral(len(self.ids), self.count, self.rule, SMALL_REQUEST, key)

    async def fill(self, jobs: int, add: Callable[[], Awaitable[str]] | None = None) -> None:
        """Add this many jobs. While Redis stores some, the next are prepared."""
        numbers = iter(range(0, jobs, AT_ONCE))

        async def lane() -> None:
            for first in numbers:
                some = range(first, min(first + AT_ONCE, jobs))
                await asyncio.gather(*((add or self.enqueue)() for _ in some))

        await asyncio.gather(lane(), lane())

    async def _add(self, enqueueing: Awaitable[Enqueued | Full]) -> str:
        place = len(self.ids)
        self.ids.append("")
        answer = await enqueueing
        if not isinstance(answer, Enqueued):
            raise WrongAnswer(f"not accepted: {answer}")
        self.ids[place] = answer.job.id
        return answer.job.id

    async def _recorded(self, deferral: Deferral) -> Enqueued | Full:
        return (await self.staging.record(deferral)).answer

    async def admit(self, ids: Sequence[str]) -> None:
        """Admit the messages of these jobs, as the intake does when it has read them."""
        stored = encode_request(SMALL_REQUEST)
        messages = [IntakeMessage(job_id, MessageLocation(0, next(self._offsets)), stored) for job_id in ids]
        admitted = await self.staging.admit(messages)
        require(admitted.processed == len(ids), f"{admitted} of {len(ids)} messages")

    async def admit_all(self) -> None:
        """Admit the messages of all jobs."""
        for first in range(0, len(self.ids), AT_ONCE):
            await self.admit(self.ids[first : first + AT_ONCE])

    async def lease(self, n: int, consumer: str = "worker") -> list[LeasedJob]:
        """Lease this many jobs of the flow that is due first, in one call."""
        [flow] = await queue_steps.take(self.flows, 1)
        jobs, later = await queue_steps.lease(self.flows, flow, n, consumer)
        await queue_steps.give_back(self.flows, later)
        return jobs

    async def lease_all(self) -> list[LeasedJob]:
        """Lease every job that waits."""
        leased: list[LeasedJob] = []
        while taken := await queue_steps.take(self.flows):
            for flow in taken:
                jobs, later = await queue_steps.lease(self.flows, flow, AT_ONCE)
                leased += jobs
                await queue_steps.give_back(self.flows, later)
        return leased

    async def back_off(self, jobs: Sequence[LeasedJob], at_least_s: float) -> float:
        """Let these jobs back off until the same moment, at least this long after the last one began.

        Returns that moment in the time of `monotonic`.
        """
        first, rest = jobs[:PACE_JOBS], jobs[PACE_JOBS:]
        start = time.monotonic()
        await self._retry(first, start + 3600)
        pace_s = (time.monotonic() - start) / max(1, len(first))
        due_at_s = time.monotonic() + 1.5 * pace_s * len(rest) + at_least_s
        for begin in range(0, len(rest), AT_ONCE):
            await self._retry(rest[begin : begin + AT_ONCE], due_at_s)
        return due_at_s

    async def _retry(self, jobs: Sequence[LeasedJob], due_at_s: float) -> None:
        delay_s = max(0.0, due_at_s - time.monotonic())
        waits = (self.flows.retry(job, delay_s, "app_server", "503", give_back=True) for job in jobs)
        require(all(await asyncio.gather(*waits)), "a lease was lost")

    async def fail(self, jobs: Sequence[LeasedJob]) -> None:
        """Settle these jobs as failed, so that they become dead letters."""
        for first in range(0, len(jobs), 100):
            await self.flows.settle(
                [Settlement(job, JobStatus.FAILED, "attempts_exhausted", "503") for job in jobs[first : first + 100]]
            )

    def sample(self, n: int) -> list[str]:
        """This many ids, spread evenly from the first job to the last."""
        step = max(1, (len(self.ids) - 1) // max(1, n - 1))
        return self.ids[::step][:n]
