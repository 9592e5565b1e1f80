"""Flows: what edges and workers do with them, each a transition of one Lua script."""

import math
import secrets
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from typing import Any

import orjson
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from app.errors import IdempotencyConflict, QueueUnavailable
from app.jobs.model import Job, JobStatus, StoredRequest, new_job_id, partition_of
from app.queue import keys
from app.queue.encoding import enqueue_call, enqueue_caps, fingerprint, queued, settle_arguments
from app.queue.envelope import Envelope, UnreadableRequest
from app.queue.model import Deferral, Enqueued, Full, FullReason, Lease, LeasedJob, Settlement, TakenFlow
from app.queue.reads import read
from app.queue.records import view
from app.redis_wire.scripts import Argument, Scripts
from app.rules.active import ActiveRule, decode_active
from app.settings import Settings

EXPIRED_FLOWS_AT_ONCE = 100
RESCHEDULED_AT_ONCE = 1000
EXPIRY_LOOK = 200
LEAVES_LATE_S = 0.25
"""By how much a job may leave its flow later than it is due: who is told when there is room must find it."""


NOTHING = StoredRequest("", b"", [], b"")


class Flows:
    """The flows of all partitions. Every method raises QueueUnavailable where the queue Redis can't be reached."""

    def __init__(self, redis: Redis, scripts: Scripts, settings: Settings) -> None:
        self._redis = redis
        self._partitions = settings.queue_partitions
        self._envelope = Envelope.of(settings)
        self._caps = enqueue_caps(
            -(-settings.queue_max_jobs // settings.queue_partitions),
            -(-settings.queue_max_bytes // settings.queue_partitions),
            settings.queue_max_memory,
            by_kafka=False,
        )
        self._scripts = scripts
        self._enqueue = scripts.script("enqueue")

    async def prepare(self) -> None:
        """Make what leases need: the consumer group of every partition's stream."""
        for partition in range(self._partitions):
            with suppress(ResponseError):  # it is there
                await self._redis.xgroup_create(keys.prefix(partition) + "jobs", "workers", id="0", mkstream=True)

    async def enqueue(self, deferral: Deferral) -> Enqueued | Full:
        """Store a request durably; raises IdempotencyConflict."""
        flow = keys.flow(deferral.rule.rule_id, deferral.descriptor)
        partition = keys.partition_of_flow(flow, self._partitions)
        job_id = new_job_id(partition)
        stored = self._envelope.encode(job_id, deferral.request, seal=deferral.seal)
        prefix = keys.prefix(partition)
        call = enqueue_call(self._enqueue, prefix, job_id, flow, deferral, stored, self._caps)
        answer = await self._scripts.run(self._enqueue, prefix, call)
        match answer[0]:
            case b"queued":
                return Enqueued(queued(job_id, deferral, answer), flow_was_empty=bool(answer[2]))
            case b"full":
                return Full(FullReason(answer[1].decode()), math.ceil(int(answer[2]) / 1e6 + LEAVES_LATE_S))
            case b"conflict":
                raise IdempotencyConflict("The idempotency key was used for a different request.")
        job = await view(self._scripts, answer[1].decode())
        if job is None:
            raise QueueUnavailable("The job of this idempotency key has just ended.")
        return Enqueued(job, flow_was_empty=False, known=True)

    async def find_by_idempotency_key(
        self, flows: list[tuple[str, str]], owner: str, key: str, request: StoredRequest | None
    ) -> Job | None:
        """The job that an idempotency key of this owner stands for, in any of these flows (rule id, descriptor).

        Raises IdempotencyConflict where it stands for a different request; `None` is different from any.
        """
        partitions = {keys.partition_of_flow(keys.flow(*flow), self._partitions) for flow in flows}
        for partition in partitions:
            name = keys.idempotency(partition, owner, key)
            found: bytes | None = await self._scripts.execute(name, "GET", name)
            if found is not None:
                job_id, stored = found.decode().split(" ")
                if request is None or stored != fingerprint(request):
                    raise IdempotencyConflict("The idempotency key was used for a different request.")
                return await view(self._scripts, job_id)
        return None

    async def take(
        self, partition: int, max_flows: int, flow_lease_us: int, look: int
    ) -> tuple[float | None, list[TakenFlow]]:
        """Take the flows that are due; seconds until the next will be (None: nothing waits)."""
        token = secrets.token_hex(8)
        answer = await self._call("take", partition, [max_flows, flow_lease_us, token, look])
        now_s = monotonic()
        flows = [
            TakenFlow(
                answer[at].decode(),
                answer[at + 1].decode(),
                token,
                answer[at + 2],
                answer[at + 3].decode(),
                answer[at + 4],
                now_s - answer[at + 5] / 1e6,
            )
            for at in range(1, len(answer), 6)
        ]
        return (None if answer[0] < 0 else answer[0] / 1e6), flows

    async def lease(
        self, flow: TakenFlow, n: int, *, consumer: str, due_in_us: int, look: int, parked_at: int | None = None
    ) -> Lease | None:
        """Lease up to `n` jobs that cost `flow.charges` and keep the flow until `due_in_us`; None: it was lost.

        With `n` = 0 the flow is given back and due then, or parked for a paused rule of revision `parked_at`.
        """
        lease = secrets.token_hex(8) if n else ""
        parked: Argument = "" if parked_at is None else parked_at
        arguments: list[Argument] = [
            flow.name,
            flow.token,
            n,
            flow.charges,
            lease,
            consumer,
            due_in_us,
            parked,
            look,
        ]
        answer = await self._call("lease", self._partition(flow.name), arguments)
        if answer[0] == b"lost":
            return None
        jobs = await self._readable(lease, [answer[at : at + 4] for at in range(4, len(answer), 4)])
        return Lease(tuple(jobs), answer[1], answer[2], answer[3].decode())

    async def _readable(self, lease: str, found: Sequence[Any]) -> list[LeasedJob]:
        """What was leased; what can't be read ends as a dead letter, and is never sent."""
        jobs: list[LeasedJob] = []
        damaged: list[Settlement] = []
        for raw_id, attempt, max_attempts, stored in found:
            job_id = raw_id.decode()
            try:
                request = self._envelope.decode(job_id, stored)
            except UnreadableRequest as error:
                job = LeasedJob(job_id, lease, attempt, max_attempts, NOTHING)
                damaged.append(Settlement(job, JobStatus.FAILED, "attempts_exhausted", str(error)))
            else:
                jobs.append(LeasedJob(job_id, lease, attempt, max_attempts, request))
        if damaged:
            await self.settle(damaged)
        return jobs

    async def release(self, jobs: Sequence[LeasedJob]) -> None:
        """Jobs of one lease, not sent, back to the head of their flow in order."""
        if jobs:
            await self._call("release", _partition_of(jobs[0]), [jobs[0].lease, *(job.id for job in jobs)])

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        """Store final outcomes of one partition's jobs; False where someone else holds the job meanwhile."""
        arguments = [argument for settlement in settlements for argument in settle_arguments(settlement)]
        answer = await self._call("settle", _partition_of(settlements[0].job), arguments)
        return [bool(stored) for stored in answer]

    async def retry(self, job: LeasedJob, delay_s: float, code: str, message: str, *, give_back: bool) -> bool:
        """Let a job back off; `give_back`: this attempt does not count. False where the lease is lost."""
        arguments: list[Argument] = [job.id, job.lease, int(delay_s * 1e6), int(give_back), code, message]
        return bool(await self._call("retry", _partition_of(job), arguments))

    async def extend(self, jobs: Sequence[LeasedJob], consumer: str) -> None:
        """Keep the leases of one partition's jobs that take long."""
        if jobs:
            pairs = [argument for job in jobs for argument in (job.id, job.lease)]
            await self._call("extend", _partition_of(jobs[0]), [consumer, *pairs])

    async def reclaim(
        self, partition: int, consumer: str, min_idle_s: float, forgotten_after_s: float = 600.0
    ) -> tuple[int, int]:
        """Jobs whose worker went away: how many went back to their flows, and how many ended as dead letters."""
        min_idle_ms, forgotten_after_ms = int(min_idle_s * 1000), int(forgotten_after_s * 1000)
        cursor, returned, dead = b"0-0", 0, 0
        while True:
            answer = await self._call("reclaim", partition, [consumer, min_idle_ms, cursor, 100, forgotten_after_ms])
            cursor, returned, dead = answer[0], returned + answer[1], dead + answer[2]
            if cursor == b"0-0":
                return returned, dead

    async def expire(self, partition: int) -> int:
        """End the jobs that have waited for too long; how many there were."""
        total: int = 0
        while True:
            ended, more = await self._call("expire", partition, [EXPIRED_FLOWS_AT_ONCE, EXPIRY_LOOK])
            total += int(ended)
            if not more:
                return total

    async def reschedule(self, rule_id: str, rule: ActiveRule | None) -> None:
        """A rule changed, or went (None): its flows are worth a look now."""
        parameters: list[Argument] = ["", "", "", "", 0]
        if rule is not None:
            defers = int(rule.on_limit == "defer")
            parameters = [rule.revision, rule.priority, rule.snapshot, rule.drain_interval_us, defers]
        for partition in range(self._partitions):
            cursor: bytes | str = "0"
            while True:
                cursor, _ = await self._call(
                    "reschedule", partition, [rule_id, cursor, RESCHEDULED_AT_ONCE, *parameters]
                )
                if cursor == b"0":
                    break

    async def rules(self) -> set[str]:
        """The ids of all rules that have flows: what must be rescheduled when any rule may have changed."""
        found: set[str] = set()
        for partition in range(self._partitions):
            prefix = keys.prefix(partition) + "rule:"
            async for key in self._redis.scan_iter(match=_glob(prefix) + "*:flows", count=1000):
                found.add(key.decode().removeprefix(prefix).removesuffix(":flows"))
        return found

    async def snapshot(self, flow: TakenFlow) -> ActiveRule | None:
        """The last version of its rule that the flows have seen."""
        key = f"{keys.prefix(self._partition(flow.name))}rule:{flow.rule_id}"
        fields = await read(self._redis.hget(key, "json"))
        return None if fields is None else decode_active(orjson.loads(fields))

    def _partition(self, flow: str) -> int:
        return keys.partition_of_flow(flow, self._partitions)

    async def _call(self, name: str, partition: int, arguments: Sequence[Argument]) -> Any:  # noqa: ANN401
        return await self._scripts.call(name, [keys.prefix(partition)], arguments)


def _partition_of(job: LeasedJob) -> int:
    partition = partition_of(job.id)
    assert partition is not None, "a leased job has an id of ours"
    return partition


def _glob(text: str) -> str:
    return "".join(f"\\{char}" if char in "*?[]\\" else char for char in text)
