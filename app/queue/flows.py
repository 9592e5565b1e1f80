"""Flows: what edges and workers do with them, each a transition of one Lua script."""

import math
import secrets
from collections.abc import Sequence
from contextlib import suppress
from itertools import groupby
from time import monotonic
from typing import Any, NamedTuple

import orjson
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from app.errors import IdempotencyConflict, QueueUnavailable
from app.jobs.model import Job, JobStatus, StoredRequest, new_job_id, partition_of_job
from app.queue import keys
from app.queue.batching import Batcher
from app.queue.encoding import (
    EnqueueAnswer,
    FoundJob,
    NewJob,
    UnitLease,
    enqueue_call,
    enqueue_limits,
    fingerprint,
    read_enqueue_answers,
    read_enqueued,
    read_leased,
    read_taken,
    settle_arguments,
)
from app.queue.envelope import Envelope, UnreadableRequest
from app.queue.flow_name import own_rule
from app.queue.model import (
    Deferral,
    Enqueued,
    Full,
    FullReason,
    Lease,
    LeasedJob,
    Settlement,
    TakenFlow,
    TakenRing,
    Turn,
    Wait,
)
from app.queue.reads import read
from app.queue.records import view
from app.queue.rescheduling import reschedule
from app.redis_wire.scripts import Argument, Scripts
from app.rules.active import ActiveRule, decode_active
from app.settings import Settings

MAX_ENQUEUED_AT_ONCE = 64
MAX_ENQUEUED_BYTES = 1 << 20
MAX_UNITS_AT_ONCE = 128
MAX_LEASED_AT_ONCE = 128
MAX_RELEASED_AT_ONCE = 100
MAX_EXTENDED_AT_ONCE = 100
LOOK = 64
"""How many jobs of a flow a script looks at to see how many cost the same, where not all do."""

MAX_TURNS = 64
"""How many flows of a ring a script names."""

EXPIRED_AT_ONCE = 25
RECLAIMED_AT_ONCE = 50
LEAVES_LATE_S = 0.25
"""By how much a job may leave its flow later than it is due: a caller who is told when there is room must find it."""

EMPTY_REQUEST = StoredRequest("", b"", [], b"")


class _LeaseRequest(NamedTuple):
    """One unit's part of a call of lease.lua; `arguments` are as the script names them."""

    jobs: int
    arguments: tuple[Argument, ...]


class Flows:
    """The flows of all partitions. Every method raises QueueUnavailable if the queue Redis can't be reached.

    Enqueueing, leasing and giving back are batched: what one process does in one turn of its event loop is one call.
    """

    def __init__(self, redis: Redis, scripts: Scripts, settings: Settings) -> None:
        self._redis = redis
        self._partitions = settings.queue_partitions
        self._envelope = Envelope.of(settings)
        self._limits = enqueue_limits(
            -(-settings.queue_max_jobs // settings.queue_partitions),
            -(-settings.queue_max_bytes // settings.queue_partitions),
            settings.queue_max_memory,
            by_kafka=False,
        )
        self._scripts = scripts
        self._enqueue = scripts.script("enqueue")
        self._enqueueing: dict[int, Batcher[NewJob, EnqueueAnswer]] = {}
        self._leasing: dict[tuple[int, str], Batcher[_LeaseRequest, Lease | None]] = {}
        self._giving_back: dict[int, Batcher[tuple[Argument, ...], bool]] = {}

    async def prepare(self) -> None:
        """Make what leases need: the consumer group of every partition's stream."""
        for partition in range(self._partitions):
            with suppress(ResponseError):  # it is there
                await self._redis.xgroup_create(keys.jobs_stream(partition), "workers", id="0", mkstream=True)

    # -------------------------------------------------------------------------------------------------- enqueueing

    async def enqueue(self, deferral: Deferral) -> Enqueued | Full:
        """Store a request durably. Raises IdempotencyConflict."""
        flow = deferral.flow
        partition = keys.partition_of_flow(flow, self._partitions)
        job_id = new_job_id(partition)
        stored = self._envelope.encode(job_id, deferral.request, seal=deferral.seal)
        new = NewJob(job_id, flow, deferral, stored)
        return await self._enqueued(new, await self._enqueue_batcher(partition).submit(new))

    async def _enqueued(self, new: NewJob, answer: EnqueueAnswer) -> Enqueued | Full:
        match answer.kind:
            case b"queued":
                return read_enqueued(new, answer)
            case b"full":
                return Full(FullReason(answer.first.decode()), math.ceil(answer.second / 1e6 + LEAVES_LATE_S))
            case b"conflict":
                raise IdempotencyConflict("The idempotency key was used for a different request.")
        job = await view(self._scripts, answer.first.decode())
        if job is None:
            raise QueueUnavailable("The job of this idempotency key has just ended.", "job_just_ended")
        return Enqueued(job, flow_was_empty=False, known=True)

    def _enqueue_batcher(self, partition: int) -> "Batcher[NewJob, EnqueueAnswer]":
        batcher = self._enqueueing.get(partition)
        if batcher is None:
            prefix = keys.prefix(partition)

            async def enqueue(jobs: Sequence[NewJob]) -> Sequence[EnqueueAnswer]:
                call = enqueue_call(self._enqueue, prefix, jobs, self._limits)
                return read_enqueue_answers(await self._scripts.run(self._enqueue, prefix, call))

            batcher = self._enqueueing[partition] = Batcher(
                enqueue, MAX_ENQUEUED_AT_ONCE, lambda job: len(job.stored), MAX_ENQUEUED_BYTES
            )
        return batcher

    async def find_by_idempotency_key(
        self, flows: list[tuple[str, str]], owner: str, key: str, request: StoredRequest | None
    ) -> Job | None:
        """Find the job that an idempotency key of this owner stands for, under any of these (rule id, descriptor).

        Raises IdempotencyConflict if it stands for a different request; `None` is different from any.
        """
        partitions = {keys.partition_of_flow(f"{rule_id}|{of}", self._partitions) for rule_id, of in flows}
        for partition in partitions:
            name = keys.idempotency(partition, owner, key)
            found: bytes | None = await self._scripts.execute(name, "GET", name)
            if found is not None:
                job_id, stored = found.decode().split(" ")
                if request is None or stored != fingerprint(request):
                    raise IdempotencyConflict("The idempotency key was used for a different request.")
                return await view(self._scripts, job_id)
        return None

    # ----------------------------------------------------------------------------------------- taking and leasing

    async def take(
        self, partition: int, max_units: int, flow_lease_us: int
    ) -> tuple[float | None, list[TakenFlow | TakenRing]]:
        """Take what is due; and seconds until the next will be (None: nothing waits)."""
        token = secrets.token_hex(8)
        arguments: list[Argument] = [max_units, flow_lease_us, token, LOOK, MAX_TURNS]
        return read_taken(await self._call("take", partition, arguments), token, monotonic())

    async def lease(self, flow: TakenFlow, n: int, *, consumer: str, keep_us: int) -> Lease | None:
        """Lease up to `n` jobs that cost `flow.head.costs`, and keep the flow for so long. None: the flow was lost.

        One call leases no more than `MAX_LEASED_AT_ONCE`.
        """
        n = min(n, MAX_LEASED_AT_ONCE)
        request: tuple[Argument, ...] = (flow.name, flow.token, keep_us, 1, flow.name, n, flow.head.costs, -1, "", 0)
        return await self._lease(flow.name, consumer, _LeaseRequest(n, request))

    async def lease_turns(self, ring: TakenRing, turns: Sequence[Turn], *, consumer: str, keep_us: int) -> Lease | None:
        """Give flows of a ring their turns, and keep the ring for so long. None: the ring was lost."""
        arguments: list[Argument] = [ring.name, ring.token, keep_us, len(turns)]
        for turn in turns:
            wait = turn.elsewhere
            elsewhere: tuple[Argument, ...] = (-1, "", 0) if wait is None else _wait_arguments(wait)
            arguments += [turn.flow, turn.n, turn.costs, *elsewhere]
        jobs = sum(turn.n for turn in turns)
        return await self._lease(ring.counter, consumer, _LeaseRequest(jobs, tuple(arguments)))

    async def _lease(self, flow: str, consumer: str, request: _LeaseRequest) -> Lease | None:
        partition = keys.partition_of_flow(flow, self._partitions)
        name = (partition, consumer)
        batcher = self._leasing.get(name)
        if batcher is None:

            async def lease(requests: Sequence[_LeaseRequest]) -> Sequence[Lease | None]:
                return await self._lease_all(partition, consumer, requests)

            batcher = self._leasing[name] = Batcher(
                lease, MAX_UNITS_AT_ONCE, lambda request: request.jobs, MAX_LEASED_AT_ONCE
            )
        return await batcher.submit(request)

    async def _lease_all(self, partition: int, consumer: str, requests: Sequence[_LeaseRequest]) -> list[Lease | None]:
        lease = secrets.token_hex(8)
        arguments: list[Argument] = [lease, consumer, LOOK, MAX_TURNS]
        for request in requests:
            arguments += request.arguments
        at_us, units = read_leased(await self._call("lease", partition, arguments))
        return [None if unit is None else await self._leased(lease, unit, at_us) for unit in units]

    async def _leased(self, lease: str, unit: UnitLease, at_us: int) -> Lease:
        readable = await self._readable(lease, unit.jobs)
        return Lease(tuple(readable), unit.heads, unit.must_take_turns, at_us)

    async def _readable(self, lease: str, found: Sequence[FoundJob]) -> list[LeasedJob]:
        """What was leased. A job whose request can't be read ends as a dead letter and is never sent."""
        jobs: list[LeasedJob] = []
        damaged: list[Settlement] = []
        for raw_id, raw_flow, attempt, raw_max_attempts, stored in found:
            job_id, flow, max_attempts = raw_id.decode(), raw_flow.decode(), int(raw_max_attempts)
            try:
                request = self._envelope.decode(job_id, stored)
            except UnreadableRequest as error:
                job = LeasedJob(job_id, flow, lease, attempt, max_attempts, EMPTY_REQUEST)
                damaged.append(Settlement(job, JobStatus.FAILED, "attempts_exhausted", str(error)))
            else:
                jobs.append(LeasedJob(job_id, flow, lease, attempt, max_attempts, request))
        if damaged:
            await self.settle(damaged)
        return jobs

    async def give_back(self, unit: TakenFlow | TakenRing, wait: Wait) -> bool:
        """Give a flow or a ring back, to be due after `wait`. False: it was lost.

        All jobs of a flow that were leased with its token must have been sent or have returned: others go on with it.
        """
        counter = unit.counter if isinstance(unit, TakenRing) else unit.name
        partition = keys.partition_of_flow(counter, self._partitions)
        batcher = self._giving_back.get(partition)
        if batcher is None:

            async def give_back(requests: Sequence[tuple[Argument, ...]]) -> Sequence[bool]:
                arguments = [argument for request in requests for argument in request]
                return [given == 1 for given in await self._call("give_back", partition, arguments)]

            batcher = self._giving_back[partition] = Batcher(
                give_back, MAX_UNITS_AT_ONCE, lambda _: 1, MAX_UNITS_AT_ONCE
            )
        return await batcher.submit((unit.name, unit.token, *_wait_arguments(wait)))

    async def sent(self, flows: Sequence[str], token: str) -> None:
        """Say that all jobs of these flows of a ring that were leased with its token were sent or have returned."""
        for at in range(0, len(flows), MAX_UNITS_AT_ONCE):
            page = flows[at : at + MAX_UNITS_AT_ONCE]
            await self._call("sent", keys.partition_of_flow(page[0], self._partitions), [token, *page])

    async def park(self, flow: str, token: str, revision: int) -> None:
        """Stop draining a flow whose rule is paused in this revision, until the rule changes; `token`: who holds it."""
        await self._call("park", keys.partition_of_flow(flow, self._partitions), [flow, token, revision])

    # -------------------------------------------------------------------------------------------- after an attempt

    async def release(self, jobs: Sequence[LeasedJob]) -> None:
        """Return jobs that were not sent to their places in their flows; their attempts do not count."""
        for partition, group in groupby(jobs, key=lambda job: partition_of_job(job.id)):
            arguments = [argument for job in group for argument in (job.id, job.lease)]
            for at in range(0, len(arguments), 2 * MAX_RELEASED_AT_ONCE):
                await self._call("release", partition, arguments[at : at + 2 * MAX_RELEASED_AT_ONCE])

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        """Store final outcomes of one partition's jobs; False where someone else holds the job meanwhile."""
        arguments = [argument for settlement in settlements for argument in settle_arguments(settlement)]
        answer = await self._call("settle", partition_of_job(settlements[0].job.id), arguments)
        return [stored == 1 for stored in answer]

    async def retry(self, job: LeasedJob, delay_s: float, code: str, message: str, *, give_back: bool) -> bool:
        """Let a job back off; `give_back`: this attempt does not count. False if the lease is lost."""
        arguments: list[Argument] = [job.id, job.lease, int(delay_s * 1e6), int(give_back), code, message]
        return bool(await self._call("retry", partition_of_job(job.id), arguments))

    async def hold(
        self, job: LeasedJob, base_delay_s: float, max_delay_s: float, retry_after_s: float, code: str, message: str
    ) -> bool:
        """Return a job to its place and hold its flow: its app server takes no more for now.

        The first hold lasts for `base_delay_s`, each one in a row twice as long, up to `max_delay_s`; never shorter
        than `retry_after_s`, never beyond the time that the job may wait. False if the lease is lost.
        """
        delays = [int(delay_s * 1e6) for delay_s in (base_delay_s, max_delay_s, retry_after_s)]
        arguments: list[Argument] = [job.id, job.lease, *delays, code, message]
        return bool(await self._call("hold", partition_of_job(job.id), arguments))

    async def extend(self, jobs: Sequence[LeasedJob], consumer: str) -> None:
        """Keep the leases of one partition's jobs that take long."""
        for first in range(0, len(jobs), MAX_EXTENDED_AT_ONCE):
            some = jobs[first : first + MAX_EXTENDED_AT_ONCE]
            pairs = [argument for job in some for argument in (job.id, job.lease)]
            await self._call("extend", partition_of_job(jobs[0].id), [consumer, *pairs])

    # ------------------------------------------------------------------------------------------------- looking after

    async def reclaim(
        self, partition: int, consumer: str, min_idle_s: float, forgotten_after_s: float = 600.0
    ) -> tuple[int, int]:
        """Reclaim jobs whose worker went away: how many returned to their flows, and how many ended as dead letters."""
        idle_ms: list[Argument] = [int(min_idle_s * 1000), int(forgotten_after_s * 1000)]
        cursor, returned, dead = b"0-0", 0, 0
        while True:
            arguments: list[Argument] = [consumer, idle_ms[0], cursor, RECLAIMED_AT_ONCE, idle_ms[1]]
            cursor, now_returned, now_dead = await self._call("reclaim", partition, arguments)
            returned, dead = returned + now_returned, dead + now_dead
            if cursor == b"0-0":
                return returned, dead

    async def expire(self, partition: int) -> int:
        """End the jobs that have waited for too long; how many there were."""
        total: int = 0
        while True:
            ended, more = await self._call("expire", partition, [EXPIRED_AT_ONCE])
            total += int(ended)
            if not more:
                return total

    async def reschedule(self, rule_id: str, rule: ActiveRule | None) -> None:
        """A rule changed, or went (None): the flows that are charged for it are worth a look now."""
        await reschedule(self._scripts, self._partitions, rule_id, rule)

    async def rules(self) -> set[str]:
        """The ids of all rules that flows are charged for: what to reschedule when any rule may have changed."""
        found: set[str] = set()
        for partition in range(self._partitions):
            prefix = keys.rule(partition, "")
            async for key in self._redis.scan_iter(match=_glob(prefix) + "*:flows", count=1000):
                found.add(key.decode().removeprefix(prefix).removesuffix(":flows"))
        return found

    async def snapshot(self, flow: str) -> ActiveRule | None:
        """The last version of its rule that a flow has seen; paused or not as an operator has said since it is gone."""
        partition = keys.partition_of_flow(flow, self._partitions)
        json, paused = await read(self._redis.hmget(keys.rule(partition, own_rule(flow).rule_id), ["json", "paused"]))
        if json is None:
            return None
        fields = orjson.loads(json)
        return decode_active(fields if paused is None else {**fields, "paused": paused == b"1"})

    async def _call(self, name: str, partition: int, arguments: Sequence[Argument]) -> Any:  # noqa: ANN401
        return await self._scripts.call(name, [keys.prefix(partition)], arguments)


def _wait_arguments(wait: Wait) -> tuple[Argument, ...]:
    return (wait.wait_us, wait.counter, wait.interval_us)


def _glob(text: str) -> str:
    return "".join(f"\\{char}" if char in "*?[]\\" else char for char in text)
