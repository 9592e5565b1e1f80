"""Dead letters one by one and in pages: lists, shows, replays and discards them."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

from redis.asyncio import Redis

from app.errors import Conflict, NotFound
from app.jobs.model import Job, JobStatus, StoredRequest, StoredResponse, is_job_id, partition_of_job
from app.queue import keys
from app.queue.dead_letter_filter import DeadLetterFilter, DeadLetterPlace
from app.queue.envelope import Envelope
from app.queue.flow_name import own_rule
from app.queue.flow_parameters import flow_arguments
from app.queue.job_details import read_contents
from app.queue.records import view
from app.redis_wire.scripts import Argument, Scripts
from app.rules.active import ActiveRule
from app.settings import Settings

LIST_SCAN_LIMIT = 100
"""How many dead letters, whether or not the filter finds them, one call of the script looks at."""

MAX_LIST_CALLS = 100
"""How many such calls are made for one page, which is shorter where the filter finds few."""

UNKNOWN_JOB = "There is no such job."


class DeadLetterOutcome(IntEnum):
    """What replay.lua and discard.lua return."""

    DONE = 1
    NOT_A_DEAD_LETTER = 0
    UNKNOWN_JOB = -1
    DIFFERENT_RULE = -2
    REQUEST_LOST = -3


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One entry of the list. `failed_at_ms` is in Unix milliseconds, `response_status` of the last answer, if any."""

    job_id: str
    rule_id: str
    descriptor: str
    failed_at_ms: int
    attempts: int
    code: str
    message: str
    response_status: int | None


class DeadLetterList(NamedTuple):
    """A page of the list, and the place to go on after; None on the last page."""

    dead_letters: Sequence[DeadLetter]
    next: DeadLetterPlace | None


@dataclass(frozen=True, slots=True)
class DeadLetterDetails:
    """A dead letter with its request and the last response.

    `request` is None where it cannot be read: its key is not configured, or Kafka has it.
    """

    job: Job
    request: StoredRequest | None
    response: StoredResponse | None


class DeadLetters:
    """Failed jobs that are kept. Every method raises QueueUnavailable where the queue Redis cannot be reached."""

    def __init__(self, redis: Redis, scripts: Scripts, settings: Settings) -> None:
        self._redis = redis
        self._partitions = settings.queue_partitions
        self._envelope = Envelope.of(settings)
        self._scripts = scripts

    async def page(self, wanted: DeadLetterFilter, limit: int, after: DeadLetterPlace | None = None) -> DeadLetterList:
        """Up to `limit` dead letters that the filter finds, newest first within each partition.

        A page may be short, and even empty, although others follow.
        """
        found: list[DeadLetter] = []
        place = after or DeadLetterPlace()
        for _ in range(MAX_LIST_CALLS):
            if place.partition >= self._partitions:
                return DeadLetterList(found, None)
            if len(found) == limit:
                break
            more, failed_us, job_id, *rows = await self._scripts.call(
                "dead_letters",
                [keys.prefix(place.partition)],
                [*wanted.arguments(), place.failed_us, place.job_id, LIST_SCAN_LIMIT, limit - len(found)],
            )
            found += [_dead_letter(row) for row in rows]
            place = place.behind(failed_us, job_id) if more else place.next_partition
        return DeadLetterList(found, place if place.partition < self._partitions else None)

    async def get(self, job_id: str) -> DeadLetterDetails:
        """One dead letter. Raises NotFound, and Conflict where the job is not a dead letter."""
        job = await self.failed_job(job_id)
        return DeadLetterDetails(job, *await read_contents(self._redis, self._envelope, job_id))

    async def failed_job(self, job_id: str) -> Job:
        """A dead letter without its request. Raises NotFound, and Conflict where the job is not a dead letter."""
        self._partition(job_id)
        job = await view(self._scripts, job_id)
        if job is None:
            raise NotFound(UNKNOWN_JOB)
        if job.status is not JobStatus.FAILED:
            raise Conflict(f"The job is not a dead letter: it is {job.status}.")
        return job

    async def replay(self, job_id: str, rule: ActiveRule) -> None:
        """Put a dead letter back into its flow, behind all other jobs and with all its attempts.

        `rule` is the current version of the job's rule. Raises NotFound, and Conflict where the job is not a dead
        letter, belongs to a different rule, or has lost its request.
        """
        await self._call("replay", job_id, *flow_arguments(rule), rule.rule_id)

    async def discard(self, job_id: str) -> None:
        """Delete a dead letter and its record. Raises NotFound, and Conflict where the job is not a dead letter."""
        await self._call("discard", job_id)

    async def _call(self, script: str, job_id: str, *arguments: Argument) -> None:
        """Run a script on a dead letter. Raises NotFound and Conflict."""
        prefix = keys.prefix(self._partition(job_id))
        outcome = DeadLetterOutcome(await self._scripts.call(script, [prefix], [job_id, *arguments]))
        match outcome:
            case DeadLetterOutcome.UNKNOWN_JOB:
                raise NotFound(UNKNOWN_JOB)
            case DeadLetterOutcome.NOT_A_DEAD_LETTER:
                raise Conflict("The job is not a dead letter.")
            case DeadLetterOutcome.DIFFERENT_RULE:
                raise Conflict("The job belongs to a different rule.")
            case DeadLetterOutcome.REQUEST_LOST:
                raise Conflict("The request of the job is no longer stored.")

    def _partition(self, job_id: str) -> int:
        """The partition of a job that a client names. Raises NotFound."""
        if not is_job_id(job_id, self._partitions):
            raise NotFound(UNKNOWN_JOB)
        return partition_of_job(job_id)


def _dead_letter(row: Sequence[Any]) -> DeadLetter:
    job_id, flow, failed_us, attempts, code, message, answer = (field.decode() for field in row)
    own = own_rule(flow)
    return DeadLetter(
        job_id=job_id,
        rule_id=own.rule_id,
        descriptor=own.descriptor,
        failed_at_ms=int(float(failed_us)) // 1000,
        attempts=int(attempts),
        code=code,
        message=message,
        response_status=None if answer == "-" else int(answer),
    )
