"""Staging: jobs whose requests are on Kafka, and their way into the flows. Each method is one Lua script."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from app.errors import IdempotencyConflict, QueueUnavailable
from app.jobs.model import Job, new_job_id, partition_of
from app.queue import keys
from app.queue.encoding import enqueue_call, enqueue_caps, queued
from app.queue.model import Deferral, Enqueued, Full, FullReason
from app.queue.reads import read
from app.queue.records import view
from app.redis_wire.scripts import Argument, Scripts
from app.settings import Settings

WANTED_FLOWS, WANTED_BYTES = 200, 4 << 20
LETTERS = 100
SWEPT_FLOWS, SWEPT_JOBS = 200, 200


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message is in the jobs' topic."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message that the intake has read."""

    job_id: str
    place: Place
    stored: bytes


@dataclass(frozen=True, slots=True)
class Admitted:
    """What became of messages: how many were dealt with before there was no more room, and how."""

    dealt_with: int
    resident: int
    spilled: int
    skipped: int


@dataclass(frozen=True, slots=True)
class ToFetch:
    """A job whose flow has room for its request."""

    flow: str
    job_id: str
    place: Place


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """A dead letter for Kafka; no `request`: it never left Kafka."""

    job_id: str
    flow: str
    attempts: int
    code: str
    message: str
    request: bytes


class Staging:
    """Every method raises QueueUnavailable where the queue Redis can't be reached."""

    def __init__(self, redis: Redis, scripts: Scripts, settings: Settings) -> None:
        self._redis = redis
        self._partitions = settings.queue_partitions
        most_jobs, most = -(-settings.queue_max_jobs // settings.queue_partitions), settings.queue_max_memory
        # Edges stop at `most`; what they promised must find room above it, and settling above that.
        self._caps = enqueue_caps(most_jobs, 0, most, by_kafka=True)
        resident = -(-settings.kafka_held_bytes // settings.queue_partitions)
        self._room: tuple[Argument, ...] = (settings.kafka_window, resident, most, (1 + most) / 2)
        self._scripts = scripts
        self._enqueue = scripts.script("enqueue")

    async def record(self, deferral: Deferral) -> tuple[Enqueued | Full, bool]:
        """Write a job's record; and whether a known one still awaits its message. Raises IdempotencyConflict."""
        flow = keys.flow(deferral.rule.rule_id, deferral.descriptor)
        partition = keys.partition_of_flow(flow, self._partitions)
        job_id = new_job_id(partition)
        prefix = keys.prefix(partition)
        call = enqueue_call(self._enqueue, prefix, job_id, flow, deferral, b"", self._caps)
        answer = await self._scripts.run(self._enqueue, prefix, call)
        match answer[0]:
            case b"queued":
                return Enqueued(queued(job_id, deferral, answer), flow_was_empty=bool(answer[2])), False
            case b"full":
                return Full(FullReason(answer[1].decode()), max(1, math.ceil(int(answer[2]) / 1e6))), False
            case b"conflict":
                raise IdempotencyConflict("The idempotency key was used for a different request.")
        job = await view(self._scripts, answer[1].decode())
        if job is None:
            raise QueueUnavailable("The job of this idempotency key has just ended.")
        return Enqueued(job, flow_was_empty=False, known=True), bool(answer[2])

    async def awaits_message(self, job: Job) -> bool:
        """Whether nobody has read the job's message yet; there may be none."""
        at = await read(self._redis.hget(keys.record(_partition(job.id), job.id), "at"))
        return bool(at == b"-")

    async def flow_of(self, job: Job) -> str:
        """The flow in which a job waits."""
        meta = await read(self._redis.hget(keys.record(_partition(job.id), job.id), "meta"))
        if meta is None:
            raise QueueUnavailable("The job has just ended.")
        return str(meta.decode().partition(" ")[0])

    async def abandon(self, job_id: str) -> bool:
        """Its message may never have got to Kafka: cancel it. False where it stands all the same."""
        return bool(await self._call("kafka_abandon", _partition(job_id), [job_id]) == 1)

    async def confirm_produced(self, job_id: str) -> bool:
        """Its message is in Kafka, whatever becomes of the edge that recorded it. False where it was canceled."""
        return bool(await self._call("kafka_confirm_produced", _partition(job_id), [job_id]) == 1)

    async def admit(self, messages: Sequence[Arrived]) -> Admitted:
        """Let messages of one partition of the queue Redis, in their order, into their flows."""
        arguments = [*self._room]
        for message in messages:
            arguments += [message.job_id, message.place.partition, message.place.offset, message.stored]
        return Admitted(*await self._call("kafka_admit", _partition(messages[0].job_id), arguments))

    async def next_to_fetch(self, partition: int, within_s: float) -> tuple[float | None, list[ToFetch]]:
        """Whose requests to fetch from Kafka; seconds until a flow may want more (None: nothing is on Kafka)."""
        arguments = [*self._room, int(within_s * 1e6), WANTED_FLOWS, WANTED_BYTES]
        answer = await self._call("kafka_next_to_fetch", partition, arguments)
        next_to_fetch = [_wanted(answer[at], answer[at + 1]) for at in range(1, len(answer), 2)]
        return (None if answer[0] < 0 else answer[0] / 1e6), next_to_fetch

    async def refill(self, flow: str, requests: Iterable[tuple[str, bytes | None]]) -> tuple[int, int]:
        """Put requests into a flow, in order (None: Kafka has it no longer); how many were, how many were lost."""
        arguments: list[Argument] = [flow]
        for job_id, stored in requests:
            arguments += [job_id, int(stored is not None), stored or b""]
        loaded, lost = await self._call("kafka_refill", keys.partition_of_flow(flow, self._partitions), arguments)
        return int(loaded), int(lost)

    async def caught_up(self, partition: int, until_ms: int) -> None:
        """All that was in a Kafka partition at that time was read."""
        for own in range(self._partitions):
            await read(self._redis.hset(f"{keys.prefix(own)}caught_up", str(partition), str(until_ms)))

    async def now_ms(self) -> int:
        """The queue Redis' clock, by which jobs are submitted."""
        seconds, microseconds = await read(self._redis.time())
        return int(seconds) * 1000 + int(microseconds) // 1000

    async def sweep(self, kafka_partitions: int, margin_s: float) -> int:
        """Cancel what edges that died have left without a message; how many there were."""
        total = 0
        for partition in range(self._partitions):
            more = 1
            while more:
                arguments: list[Argument] = [kafka_partitions, int(margin_s * 1000), SWEPT_FLOWS, SWEPT_JOBS]
                canceled, more = await self._call("kafka_sweep", partition, arguments)
                total += int(canceled)
        return total

    async def outbox(self, partition: int, within_s: float) -> list[OutboxEntry]:
        """Dead outbox that Kafka was not mark_published of."""
        answer = await self._call("kafka_outbox", partition, [LETTERS, int(within_s * 1e6)])
        return [_letter(answer[at : at + 6]) for at in range(0, len(answer), 6)]

    async def mark_published(self, letter: OutboxEntry) -> None:
        """Kafka has it."""
        await read(self._redis.zrem(f"{keys.prefix(_partition(letter.job_id))}outbox", letter.job_id))

    async def _call(self, name: str, partition: int, arguments: Sequence[Argument]) -> Any:  # noqa: ANN401
        return await self._scripts.call(name, [keys.prefix(partition)], arguments)


def _partition(job_id: str) -> int:
    partition = partition_of(job_id)
    assert partition is not None, "a recorded job has an id of ours"
    return partition


def _wanted(flow: bytes, reference: bytes) -> ToFetch:
    job_id, partition, offset, _ = reference.decode().split(" ")
    return ToFetch(flow.decode(), job_id, Place(int(partition), int(offset)))


def _letter(fields: list[bytes]) -> OutboxEntry:
    job_id, flow, attempts, code, message = (field.decode() for field in fields[:5])
    return OutboxEntry(job_id, flow, int(attempts), code, message, fields[5])
