"""Staging: the records of jobs whose requests are in Kafka, and how the requests get into the flows.

A job is *awaiting* until its message is read. Its request is then *resident* (in the queue Redis, in its flow) or
*spilled* (left in Kafka until its flow has room, and then refilled).
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from redis.asyncio import Redis

from app.errors import IdempotencyConflict, QueueUnavailable
from app.jobs.model import Job, new_job_id, partition_of_job
from app.queue import keys
from app.queue.encoding import NewJob, enqueue_call, enqueue_limits, read_enqueue_answers, read_enqueued
from app.queue.kafka.keys import dead_letter_outbox, message_states, read_until
from app.queue.kafka.model import (
    AdmitResult,
    IntakeMessage,
    MessageLocation,
    NextToFetch,
    OutboxEntry,
    Recorded,
    RefillResult,
    SpilledJob,
)
from app.queue.model import Deferral, Enqueued, Full, FullReason
from app.queue.reads import now_us, read
from app.queue.records import view
from app.redis_wire.scripts import Argument, Scripts
from app.settings import Settings

FETCH_MAX_FLOWS, FETCH_MAX_BYTES = 200, 4 << 20
OUTBOX_PAGE_SIZE = 100
MAX_MESSAGES_AT_ONCE = 50
"""How many messages one call of a script admits or refills: a megabyte may hold thousands of small ones."""

SWEEP_MAX_FLOWS, SWEEP_MAX_JOBS = 25, 25

AWAITING = b"-"
"""What stands for the location of a job's message until it is read."""


class Staging:
    """The Kafka queue's side of the queue Redis. Every method raises QueueUnavailable where that cannot be reached."""

    def __init__(self, redis: Redis, scripts: Scripts, settings: Settings) -> None:
        self._redis = redis
        self._partitions = settings.queue_partitions
        max_jobs = -(-settings.queue_max_jobs // settings.queue_partitions)
        enqueue_memory = settings.queue_max_memory
        self._limits = enqueue_limits(max_jobs, 0, enqueue_memory, by_kafka=True)
        # Edges stop enqueueing at `enqueue_memory`. The references of accepted jobs must find room above that, and the
        # outcomes of jobs above those.
        reference_memory = (1 + enqueue_memory) / 2
        resident_bytes = -(-settings.kafka_held_bytes // settings.queue_partitions)
        self._room: tuple[Argument, ...] = (settings.kafka_window, resident_bytes, enqueue_memory, reference_memory)
        self._scripts = scripts
        self._enqueue = scripts.script("enqueue")

    async def record(self, deferral: Deferral) -> Recorded:
        """Write the record of a job whose message is to be produced next. Raises IdempotencyConflict."""
        flow = deferral.flow
        partition = keys.partition_of_flow(flow, self._partitions)
        new = NewJob(new_job_id(partition), flow, deferral, b"")
        prefix = keys.prefix(partition)
        call = enqueue_call(self._enqueue, prefix, [new], self._limits)
        [answer] = read_enqueue_answers(await self._scripts.run(self._enqueue, prefix, call))
        match answer.kind:
            case b"queued":
                return Recorded(read_enqueued(new, answer))
            case b"full":
                return Recorded(Full(FullReason(answer.first.decode()), max(1, math.ceil(answer.second / 1e6))))
            case b"conflict":
                raise IdempotencyConflict("The idempotency key was used for a different request.")
        job = await view(self._scripts, answer.first.decode())
        if job is None:
            raise QueueUnavailable("The job of this idempotency key has just ended.", "job_just_ended")
        return Recorded(Enqueued(job, flow_was_empty=False, known=True), awaits_message=bool(answer.second))

    async def awaits_message(self, job: Job) -> bool:
        """Whether the job's message has not been read yet. It may not even have been produced."""
        state = await read(self._redis.hget(message_states(partition_of_job(job.id)), job.id))
        return bool(state == AWAITING)

    async def abandon(self, job_id: str) -> bool:
        """Cancel a job whose message Kafka did not acknowledge. False if it has been accepted or sent after all."""
        return bool(await self._call("kafka_abandon", partition_of_job(job_id), [job_id]) == 1)

    async def confirm_produced(self, job_id: str) -> bool:
        """Note that Kafka has the job's message, so that the job is not abandoned. False if it was canceled already."""
        return bool(await self._call("kafka_confirm_produced", partition_of_job(job_id), [job_id]) == 1)

    async def admit(self, messages: Sequence[IntakeMessage]) -> AdmitResult:
        """Move messages into their flows, in order. All must be of one partition of the queue Redis."""
        total = AdmitResult(0, 0, 0, 0)
        for first in range(0, len(messages), MAX_MESSAGES_AT_ONCE):
            some = messages[first : first + MAX_MESSAGES_AT_ONCE]
            result = await self._admit(some)
            total = AdmitResult(*map(sum, zip(total, result, strict=True)))
            if result.processed < len(some):
                break
        return total

    async def _admit(self, messages: Sequence[IntakeMessage]) -> AdmitResult:
        arguments = [*self._room]
        for message in messages:
            arguments += [message.job_id, message.location.partition, message.location.offset, message.stored]
        return AdmitResult(*await self._call("kafka_admit", partition_of_job(messages[0].job_id), arguments))

    async def next_to_fetch(self, partition: int, timeout_s: float) -> NextToFetch:
        """The spilled jobs to fetch from Kafka next. Others do not get these until `timeout_s` is over."""
        arguments = [*self._room, int(timeout_s * 1e6), FETCH_MAX_FLOWS, FETCH_MAX_BYTES]
        wait_us, *jobs = await self._call("kafka_next_to_fetch", partition, arguments)
        return NextToFetch(None if wait_us < 0 else wait_us / 1e6, [_spilled_job(*row) for row in jobs])

    async def refill(self, flow: str, requests: Iterable[tuple[str, bytes | None]]) -> RefillResult:
        """Put the requests of spilled jobs, as (job id, encoded request), into their flow, in order.

        A job whose request is None, because Kafka no longer has it, becomes a dead letter.
        """
        partition, jobs = keys.partition_of_flow(flow, self._partitions), list(requests)
        total = RefillResult(0, 0)
        for first in range(0, len(jobs), MAX_MESSAGES_AT_ONCE):
            arguments: list[Argument] = [flow]
            for job_id, stored in jobs[first : first + MAX_MESSAGES_AT_ONCE]:
                arguments += [job_id, int(stored is not None), stored or b""]
            resident, lost = await self._call("kafka_refill", partition, arguments)
            total = RefillResult(total.resident + resident, total.lost + lost)
        return total

    async def note_read_until(self, kafka_partition: int, time_ms: int) -> None:
        """Note that all messages that a partition of the topic had at that time (Unix milliseconds) have been read."""
        for partition in range(self._partitions):
            await read(self._redis.hset(read_until(partition), str(kafka_partition), str(time_ms)))

    async def now_ms(self) -> int:
        """The time of the queue Redis, whose clock sets the times of jobs, in Unix milliseconds."""
        return await now_us(self._redis) // 1000

    async def sweep(self, kafka_partitions: int, margin_s: float) -> int:
        """Cancel the jobs whose edge failed before it produced their message, and return how many there were.

        Those are the jobs that still await their message although every partition of the topic has been read past the
        time of their record plus `margin_s`, within which a live edge produces.
        """
        arguments: list[Argument] = [kafka_partitions, int(margin_s * 1000), SWEEP_MAX_FLOWS, SWEEP_MAX_JOBS]
        total = 0
        for partition in range(self._partitions):
            more = 1
            while more:
                canceled, more = await self._call("kafka_sweep", partition, arguments)
                total += int(canceled)
        return total

    async def outbox(self, partition: int, timeout_s: float) -> list[OutboxEntry]:
        """Some dead letters that have not been published. Others do not get these until `timeout_s` is over."""
        reply = await self._call("kafka_outbox", partition, [OUTBOX_PAGE_SIZE, int(timeout_s * 1e6)])
        return [_outbox_entry(*row) for row in reply]

    async def mark_published(self, entry: OutboxEntry) -> None:
        """Remove a dead letter from the outbox: Kafka has it."""
        await read(self._redis.zrem(dead_letter_outbox(partition_of_job(entry.job_id)), entry.job_id))

    async def _call(self, name: str, partition: int, arguments: Sequence[Argument]) -> Any:  # noqa: ANN401
        return await self._scripts.call(name, [keys.prefix(partition)], arguments)


def _spilled_job(flow: bytes, job_id: bytes, location: bytes) -> SpilledJob:
    """`location`: `<partition> <offset> <bytes>`."""
    partition, offset, _ = location.split(b" ")
    return SpilledJob(flow.decode(), job_id.decode(), MessageLocation(int(partition), int(offset)))


def _outbox_entry(
    job_id: bytes, flow: bytes, attempts: bytes, code: bytes, message: bytes, request: bytes
) -> OutboxEntry:
    return OutboxEntry(job_id.decode(), flow.decode(), int(attempts), code.decode(), message.decode(), request)
