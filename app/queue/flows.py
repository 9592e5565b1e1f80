"""Flows: what edges and workers do with them, each a transition of one Lua script."""

import math
from collections.abc import Collection, Sequence
from contextlib import suppress

import orjson
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from app.errors import IdempotencyConflict, QueueUnavailable
from app.jobs.model import Job, StoredRequest, new_job_id
from app.queue import keys
from app.queue.batching import Batcher
from app.queue.encoding import (
    EnqueueAnswer,
    NewJob,
    enqueue_call,
    enqueue_limits,
    fingerprint,
    read_enqueue_answers,
    read_enqueued,
)
from app.queue.flow_leases import FlowLeases
from app.queue.flow_name import own_rule
from app.queue.flow_settings import setting_names
from app.queue.model import Deferral, Enqueued, Full, FullReason
from app.queue.reads import as_glob, now_us, read
from app.queue.records import view
from app.queue.rescheduling import reschedule
from app.redis_wire.scripts import Argument, Scripts
from app.rules.active import ActiveRule, decode_active
from app.settings import Settings

MAX_ENQUEUED_AT_ONCE = 64
MAX_ENQUEUED_BYTES = 1 << 20
EXPIRED_AT_ONCE = 25
RECLAIMED_AT_ONCE = 25
RECONSIDERED_AT_ONCE = 100
FLOWS_A_SCAN = 1000
LEAVES_LATE_S = 0.25
"""By how much a job may leave its flow later than it is due: a caller who is told when there is room must find it."""


class Flows(FlowLeases):
    """The flows of all partitions. Every method raises QueueUnavailable if the queue Redis can't be reached.

    Here are enqueueing, which is batched too, and what workers do periodically or when a rule has changed.
    """

    def __init__(self, redis: Redis, scripts: Scripts, settings: Settings) -> None:
        super().__init__(scripts, settings)
        self._redis = redis
        self._timeout_us = int(settings.queue_timeout_ms * 1000)
        self._limits = enqueue_limits(
            -(-settings.queue_max_jobs // settings.queue_partitions),
            -(-settings.queue_max_bytes // settings.queue_partitions),
            settings.queue_max_memory,
            by_kafka=False,
        )
        self._enqueue = scripts.script("enqueue")
        self._enqueueing: dict[int, Batcher[NewJob, EnqueueAnswer]] = {}

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

    # ------------------------------------------------------------------------------------------------- looking after

    async def reclaim(
        self, partition: int, consumer: str, min_idle_s: float, forgotten_after_s: float = 600.0
    ) -> tuple[int, int]:
        """Reclaim jobs whose worker went away: how many returned to their flows, and how many ended as dead letters."""
        idle_ms: list[Argument] = [int(min_idle_s * 1000), int(forgotten_after_s * 1000)]
        cursor, returned, dead, at_us = b"0-0", 0, 0, await now_us(self._redis)
        while True:
            arguments: list[Argument] = [consumer, idle_ms[0], cursor, RECLAIMED_AT_ONCE, idle_ms[1]]
            arguments.append(at_us + self._timeout_us)
            cursor, now_returned, now_dead, at_us = await self._call("reclaim", partition, arguments)
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

    async def reconsider(self, names: Collection[str], version: int) -> None:
        """What is set for flows has changed, up to this version: those that obey these settings are looked at now."""
        by_rule: dict[str, set[str]] = {}
        for name in names:
            by_rule.setdefault(name.partition("|")[0], set()).add(name)
        for partition in range(self._partitions):
            await self._call("reconsider", partition, [version])  # first, so that nobody parks any of them any more
            for rule_id, of_rule in by_rule.items():
                await self._reconsider(partition, rule_id, of_rule, version)

    async def _reconsider(self, partition: int, rule_id: str, names: set[str], version: int) -> None:
        """Look at the flows of a rule that obey one of these settings, a page at a time.

        The pattern spares this process the names of all other flows, which may be a million.
        """
        descriptor = as_glob(next(iter(names)).partition("|")[2]) if len(names) == 1 else ""
        key, pattern, cursor = keys.flows_of_rule(partition, rule_id), f"{rule_id}|*{descriptor}*", -1
        while cursor != 0:
            reply = self._redis.sscan(key, max(0, cursor), match=pattern, count=FLOWS_A_SCAN)
            cursor, members = await read(reply)
            flows = [flow for flow in map(bytes.decode, members) if not names.isdisjoint(setting_names(flow))]
            for first in range(0, len(flows), RECONSIDERED_AT_ONCE):
                page = flows[first : first + RECONSIDERED_AT_ONCE]
                await self._call("reconsider", partition, [version, *page])

    async def rules(self) -> set[str]:
        """The ids of all rules that flows are charged for: what to reschedule when any rule may have changed."""
        found: set[str] = set()
        for partition in range(self._partitions):
            prefix = keys.rule(partition, "")
            async for key in self._redis.scan_iter(match=as_glob(prefix) + "*:flows", count=1000):
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
