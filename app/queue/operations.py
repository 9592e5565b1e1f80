"""Operators' commands: purge the jobs of a rule; list, inspect, replay and discard dead letters."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

from redis.asyncio import Redis

from app.errors import Conflict, InvalidInput, NotFound
from app.jobs.model import Job, JobStatus, StoredRequest, StoredResponse, is_job_id, partition_of_job
from app.queue import keys
from app.queue.envelope import Envelope, UnreadableRequest
from app.queue.flow_name import own_rule
from app.queue.flow_parameters import flow_arguments
from app.queue.reads import read
from app.queue.records import stored_request, stored_response, view
from app.queue.rescheduling import set_paused
from app.queue.rule_replay import ReplayedPage, replay_rule
from app.redis_wire.scripts import Argument, Scripts
from app.rules.active import ActiveRule
from app.settings import Settings

PURGE_PAGE_SIZE = 100
MAX_PURGE_CALLS = 200
"""How many pages one purge takes; the rest is for the next one."""

LIST_SCAN_LIMIT = 100
"""How many dead letters, of whichever rules, one call of the script looks at."""

MAX_LIST_CALLS = 100
"""How many such calls are made for one page, which is shorter where few of them are of the rule."""

PURGE_CURSOR = r"^[0-9]{1,4}-[01]-[0-9]{1,20}$"
_PURGE_CURSOR = re.compile(PURGE_CURSOR[1:-1])
_PURGED = ("flows", "retries")

UNKNOWN_JOB = "There is no such job."


class DeadLetterCode(IntEnum):
    """What replay.lua and discard.lua return."""

    DONE = 1
    NOT_A_DEAD_LETTER = 0
    UNKNOWN_JOB = -1
    DIFFERENT_RULE = -2
    REQUEST_LOST = -3


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One entry of the list. `died_at_ms` is in Unix milliseconds, `response_status` of the last answer, if any."""

    job_id: str
    rule_id: str
    descriptor: str
    died_at_ms: int
    attempts: int
    code: str
    message: str
    response_status: int | None


class PurgedPage(NamedTuple):
    """How many jobs were canceled, and the cursor to go on with; None: nothing is left."""

    canceled: int
    next: str | None


class DeadLetterList(NamedTuple):
    """A page of the list. `after` is the job id to continue after, and empty on the last page."""

    dead_letters: Sequence[DeadLetter]
    after: str


@dataclass(frozen=True, slots=True)
class DeadLetterDetails:
    """A dead letter with its request and the last response.

    `request` is None where it cannot be read: its key is not configured, or Kafka has it.
    """

    job: Job
    request: StoredRequest | None
    response: StoredResponse | None


class Operations:
    """Operators' commands. Every method raises QueueUnavailable where the queue Redis cannot be reached."""

    def __init__(self, redis: Redis, scripts: Scripts, settings: Settings) -> None:
        self._redis = redis
        self._partitions = settings.queue_partitions
        self._envelope = Envelope.of(settings)
        self._scripts = scripts

    async def purge(self, rule_id: str, cursor: str | None = None) -> PurgedPage:
        """Cancel jobs of a rule that wait to be sent, up to 20,000 of them. Raises InvalidInput for what is no cursor.

        Jobs that are already being sent are not affected.
        """
        partition, phase, place = _purge_place(cursor)
        canceled, calls = 0, 0
        while partition < self._partitions:
            if calls == MAX_PURGE_CALLS:
                return PurgedPage(canceled, f"{partition}-{phase}-{place.decode()}")
            arguments: list[Argument] = [rule_id, _PURGED[phase], place, PURGE_PAGE_SIZE]
            place, count, more = await self._scripts.call("purge", [keys.prefix(partition)], arguments)
            calls += 1
            canceled += count
            if not more:
                partition, phase, place = (partition, 1, b"0") if phase == 0 else (partition + 1, 0, b"0")
        return PurgedPage(canceled, None)

    async def has_flows(self, rule_id: str) -> bool:
        """Whether any flow is charged for a rule, whether or not the rule still exists."""
        for partition in range(self._partitions):
            if await read(self._redis.exists(keys.rule(partition, rule_id))):
                return True
        return False

    async def set_paused(self, rule_id: str, *, paused: bool) -> bool:
        """Pause or resume the flows of a rule that is deleted or disabled. False: it has none."""
        return await set_paused(self._scripts, self._partitions, rule_id, paused=paused)

    async def dead_letters(self, rule_id: str, limit: int, after: str) -> DeadLetterList:
        """Up to `limit` dead letters, newest first within each partition.

        An empty `rule_id` stands for every rule, and an empty `after` for the first page. A page may be short, and even
        empty, although others follow. Raises NotFound where `after` is not a job id.
        """
        found: list[DeadLetter] = []
        calls = 0
        for partition in range(self._partition(after) if after else 0, self._partitions):
            while len(found) < limit:
                if calls == MAX_LIST_CALLS and after:
                    return DeadLetterList(found, after)
                calls += 1
                arguments: list[Argument] = [after, limit - len(found), rule_id, LIST_SCAN_LIMIT]
                next_after, *rows = await self._scripts.call("dead_letters", [keys.prefix(partition)], arguments)
                found += [_dead_letter(row) for row in rows]
                after = next_after.decode()
                if not after:
                    break
            if len(found) == limit:
                return DeadLetterList(found, after or found[-1].job_id)
            after = ""
        return DeadLetterList(found, "")

    async def dead_letter(self, job_id: str) -> DeadLetterDetails:
        """One dead letter. Raises NotFound, and Conflict where the job is not a dead letter."""
        job = await self.failed_job(job_id)
        record = await read(self._redis.get(keys.record(self._partition(job_id), job_id))) or b""
        request = stored_request(record)
        return DeadLetterDetails(
            job, None if request is None else self._readable(job_id, request), stored_response(record)
        )

    async def failed_job(self, job_id: str) -> Job:
        """A dead letter without its request. Raises NotFound, and Conflict where the job is not a dead letter."""
        self._partition(job_id)
        job = await view(self._scripts, job_id)
        if job is None:
            raise NotFound(UNKNOWN_JOB)
        if job.status is not JobStatus.FAILED:
            raise Conflict(f"The job is not a dead letter: it is {job.status}.")
        return job

    async def replay_all(self, rule: ActiveRule, cursor: str | None = None) -> ReplayedPage:
        """Replay up to 1,000 dead letters of a rule, the oldest first, that failed before the first call.

        Raises InvalidInput for what is no cursor.
        """

        async def replay(job_id: str) -> None:
            await self.replay(job_id, rule)

        return await replay_rule(self._scripts, self._partitions, rule.rule_id, cursor, replay)

    async def replay(self, job_id: str, rule: ActiveRule) -> None:
        """Put a dead letter back into its flow, behind all other jobs and with all its attempts.

        `rule` is the current version of the job's rule. Raises NotFound, and Conflict where the job is not a dead
        letter, belongs to a different rule, or has lost its request.
        """
        await self._call("replay", job_id, *flow_arguments(rule), rule.rule_id)

    async def discard(self, job_id: str) -> None:
        """Delete a dead letter and its record. Raises NotFound, and Conflict where the job is not a dead letter."""
        await self._call("discard", job_id)

    def _readable(self, job_id: str, stored: bytes) -> StoredRequest | None:
        try:
            return self._envelope.decode(job_id, stored)
        except UnreadableRequest:
            return None

    async def _call(self, script: str, job_id: str, *arguments: Argument) -> None:
        """Run a script on a dead letter. Raises NotFound and Conflict."""
        prefix = keys.prefix(self._partition(job_id))
        code = DeadLetterCode(await self._scripts.call(script, [prefix], [job_id, *arguments]))
        match code:
            case DeadLetterCode.UNKNOWN_JOB:
                raise NotFound(UNKNOWN_JOB)
            case DeadLetterCode.NOT_A_DEAD_LETTER:
                raise Conflict("The job is not a dead letter.")
            case DeadLetterCode.DIFFERENT_RULE:
                raise Conflict("The job belongs to a different rule.")
            case DeadLetterCode.REQUEST_LOST:
                raise Conflict("The request of the job is no longer stored.")

    def _partition(self, job_id: str) -> int:
        """The partition of a job that a client names. Raises NotFound."""
        if not is_job_id(job_id, self._partitions):
            raise NotFound(UNKNOWN_JOB)
        return partition_of_job(job_id)


def _purge_place(cursor: str | None) -> tuple[int, int, bytes]:
    """The partition, the index in `_PURGED`, and the place there, that a cursor stands for. Raises InvalidInput."""
    if cursor is None:
        return 0, 0, b"0"
    if _PURGE_CURSOR.fullmatch(cursor) is None:
        raise InvalidInput("This is no cursor of a purge.")
    partition, phase, place = cursor.split("-")
    return int(partition), int(phase), place.encode()


def _dead_letter(row: Sequence[Any]) -> DeadLetter:
    job_id, flow, died_us, attempts, code, message, answer = (field.decode() for field in row)
    own = own_rule(flow)
    return DeadLetter(
        job_id=job_id,
        rule_id=own.rule_id,
        descriptor=own.descriptor,
        died_at_ms=int(float(died_us)) // 1000,
        attempts=int(attempts),
        code=code,
        message=message,
        response_status=None if answer == "-" else int(answer),
    )
