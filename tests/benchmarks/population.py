"""Very many jobs in the same state: one is brought there through the interface of the queue, and then copied."""

from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from itertools import count as count_up
from pathlib import Path
from typing import Any, cast

from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from app.clients import queue_redis
from app.jobs.model import JobStatus, encode_request
from app.queue.cancel_batches import CancelBatches
from app.queue.dead_letter_batches import DeadLetterBatches
from app.queue.dead_letters import DeadLetters
from app.queue.flow_settings import FlowSettingStore
from app.queue.flow_views import FlowViews
from app.queue.flows import Flows
from app.queue.job_purge import JobPurge
from app.queue.kafka.model import IntakeMessage, MessageLocation
from app.queue.kafka.staging import Staging
from app.queue.keys import prefix
from app.queue.model import Deferral, Enqueued, Full, LeasedJob, Settlement
from app.queue.operations import Operations
from app.queue.records import Records
from app.redis_wire.scripts import Scripts
from app.rules.active import ActiveRule
from app.settings import Settings
from tests.benchmarks import queue_steps
from tests.benchmarks.cost_meter import MeteredNode
from tests.benchmarks.errors import WrongAnswer, require

CONSUMER = "worker"
COPIED_AT_ONCE = 1000
OUTCOMES, OUTCOMES_AT_ONCE = "{q0}:outcomes", 100

KAFKA_WINDOW = 200
"""Requests of a flow that are held in the queue Redis: fewer than the smallest population has jobs."""

EACH = 1 << 24
"""So many addresses that each user has another."""

SMALL_REQUEST = queue_steps.request_of(0)


def copy_script() -> str:
    """The text of multiply.lua behind the parts of the queue's scripts that it follows."""
    parts = [(files("app.queue") / "lua" / f"{name}.lua").read_text() for name in ("_names", "_records")]
    return "\n".join([*parts, Path(__file__).with_name("multiply.lua").read_text()])


@dataclass
class Population:
    """The jobs of one rule in one or many flows, on a queue Redis of their own."""

    redis: Redis
    node: MeteredNode
    scripts: Scripts
    flows: Flows
    records: Records
    operations: Operations
    dead_letters: DeadLetters
    dead_letter_batches: DeadLetterBatches
    job_purge: JobPurge
    cancel_batches: CancelBatches
    staging: Staging
    views: FlowViews
    flow_settings: FlowSettingStore
    _copy: AsyncScript
    rule: ActiveRule
    count: int = 1
    """The number of flows."""
    addresses: int = EACH
    """How many addresses the users have."""
    ids: list[str] = field(default_factory=list)
    """The ids of all jobs in the order in which they were accepted."""
    _copies: list[str] = field(default_factory=list)
    _drawn: set[str] = field(default_factory=set)
    _offsets: Iterator[int] = field(default_factory=count_up)

    @classmethod
    def on(cls, url: str) -> "Population":
        """An empty population on this Redis. Its calls may take very long."""
        settings = Settings(queue_redis_url=url, queue_timeout_ms=600_000, kafka_window=KAFKA_WINDOW)
        redis, node = queue_redis(settings), MeteredNode(url, settings.queue_timeout_ms / 1000)
        scripts = Scripts(node, "app.queue")
        flows, records = Flows(redis, scripts, settings), Records(redis, scripts, settings)
        operations, staging = Operations(redis, scripts, settings), Staging(redis, scripts, settings)
        letters = DeadLetters(redis, scripts, settings)
        batches, purge = DeadLetterBatches(scripts, settings), JobPurge(scripts, settings)
        views, copy = FlowViews(scripts, settings), redis.register_script(copy_script())
        of_operators = (operations, letters, batches, purge, CancelBatches(scripts, settings))
        looking, rule = (views, FlowSettingStore(redis, scripts)), queue_steps.user_rule()
        return cls(redis, node, scripts, flows, records, *of_operators, staging, *looking, copy, rule)

    async def begin(self, rule: ActiveRule, count: int = 1) -> None:
        """Empty the Redis, and prepare it for jobs of this rule. It writes nothing to disk."""
        await self.redis.flushall(asynchronous=False)
        for name, value in (("appendonly", "no"), ("maxmemory", 0)):
            await self.redis.config_set(name, value)
        await self.scripts.load()
        await self.flows.prepare()
        self.rule, self.count, self.addresses, self.ids = rule, count, EACH, []
        self._copies, self._drawn = [], set()

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
        return queue_steps.deferral(len(self.ids), self.count, self.rule, SMALL_REQUEST, key, self.addresses)

    async def multiply(self, model: str, jobs: int, *, in_flows: bool = False) -> None:
        """Copy a job until there are this many like it. `in_flows`: each copy gets a flow of its own."""
        whom = (queue_steps.user_name(0), queue_steps.address(0)) if in_flows else ("", "")
        for first in range(1, jobs, COPIED_AT_ONCE):
            count = min(COPIED_AT_ONCE, jobs - first)
            await self._copy(keys=[prefix(0)], args=[model, first, count, CONSUMER, *whom])
        self._copies = [f"{model[:-8]}{number:08}" for number in range(1, jobs)]
        self.ids += self._copies

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

    async def lease(self, n: int) -> list[LeasedJob]:
        """Lease this many jobs of the flow that is due first, in one call. None are leased where no flow is due."""
        leased: list[LeasedJob] = []
        for flow in await queue_steps.take(self.flows, 1):
            leased, later = await queue_steps.lease(self.flows, flow, n, CONSUMER)
            await queue_steps.give_back(self.flows, later)
        return leased

    async def leased(self) -> LeasedJob:
        """Enqueue and lease one more job."""
        await self.enqueue()
        [job] = await self.lease(1)
        return job

    async def backing_off(self, delay_s: float) -> str:
        """Bring one more job into backoff. Returns its id."""
        job = await self.leased()
        require(await self.flows.retry(job, delay_s, "app_server", "503", give_back=True), "the lease was lost")
        return job.id

    async def dead(self) -> str:
        """Bring one more job to its end as a dead letter. Returns its id."""
        job = await self.leased()
        await self.fail([job])
        return job.id

    async def ended(self, jobs: int) -> None:
        """Bring one more job to its end, and copy its outcome until there are so many, as batches of 100 have them."""
        await self.flows.settle([Settlement(await self.leased(), JobStatus.SUCCEEDED, response=queue_steps.RESPONSE)])
        [(_, entry)] = cast("list[Any]", await self.redis.xrevrange(OUTCOMES, count=1))
        text = b"\n".join([entry[b"jobs"]] * OUTCOMES_AT_ONCE)
        pipeline = self.redis.pipeline(transaction=False)
        for _ in range(jobs // OUTCOMES_AT_ONCE):
            pipeline.xadd(OUTCOMES, {"n": OUTCOMES_AT_ONCE, "jobs": text})
        await pipeline.execute()
        await self.redis.set(f"{OUTCOMES}:kept", f"{jobs + 1} {len(text) * (jobs // OUTCOMES_AT_ONCE)}")

    async def fail(self, jobs: Sequence[LeasedJob]) -> None:
        """Settle these jobs as failed, so that they become dead letters."""
        if jobs:
            await self.flows.settle([Settlement(job, JobStatus.FAILED, "attempts_exhausted", "503") for job in jobs])

    def sample(self, n: int) -> list[str]:
        """The ids of this many copies, spread evenly from the first to the last."""
        return _spread(self._copies, n)

    def draw(self, n: int) -> list[str]:
        """A sample of copies that were not drawn before: the ids for calls after which a job is in another state."""
        drawn = _spread([job_id for job_id in self._copies if job_id not in self._drawn], n)
        self._drawn.update(drawn)
        return drawn


def _spread(ids: Sequence[str], n: int) -> list[str]:
    require(len(ids) >= n, f"{n} jobs of {len(ids)}")
    step = max(1, (len(ids) - 1) // max(1, n - 1))
    return list(ids[::step][:n])
