"""What operators do with queued and failed jobs: purge a rule's, and look at, replay or delete dead letters."""

from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from app.errors import Conflict, NotFound
from app.jobs.model import Job, StoredRequest, StoredResponse, decode_response, partition_of
from app.queue import keys
from app.queue.envelope import Envelope, UnreadableRequest
from app.queue.reads import read
from app.queue.records import view
from app.redis_wire.scripts import Argument, Scripts
from app.rules.active import ActiveRule
from app.settings import Settings

PURGED_AT_ONCE = 200
LOOKED_AT_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One line of the list. `died_at_ms` is Unix milliseconds; `response_status` the app server's last answer."""

    job_id: str
    rule_id: str
    descriptor: str
    died_at_ms: int
    attempts: int
    code: str
    message: str
    response_status: int | None


@dataclass(frozen=True, slots=True)
class DeadLetterDetails:
    """A dead letter whole; no `request`: it can't be read (encrypted with a key that is not here)."""

    job: Job
    request: StoredRequest | None
    response: StoredResponse | None


class Operations:
    """Every method raises QueueUnavailable where the queue Redis can't be reached."""

    def __init__(self, redis: Redis, scripts: Scripts, settings: Settings) -> None:
        self._redis = redis
        self._partitions = settings.queue_partitions
        self._envelope = Envelope.of(settings)
        self._scripts = scripts

    async def purge(self, rule_id: str) -> int:
        """Cancel all jobs of a rule that wait to be sent; how many there were. What runs, runs on."""
        canceled = 0
        for partition in range(self._partitions):
            for what in ("flows", "retries"):
                cursor, more = b"0", 1
                while more:
                    arguments: list[Argument] = [rule_id, what, cursor, PURGED_AT_ONCE]
                    cursor, count, more = await self._scripts.call("purge", [keys.prefix(partition)], arguments)
                    canceled += count
        return canceled

    async def dead_letters(self, rule_id: str, limit: int, after: str) -> tuple[list[DeadLetter], str]:
        """A page, newest first within a partition; and the id to go on after, empty for the last page."""
        found: list[DeadLetter] = []
        for partition in range(self._partition(after) if after else 0, self._partitions):
            while len(found) < limit:
                arguments: list[Argument] = [after, limit - len(found), rule_id, LOOKED_AT_AT_ONCE]
                answer = await self._scripts.call("dead_letters", [keys.prefix(partition)], arguments)
                found += [_letter(answer[at : at + 7]) for at in range(1, len(answer), 7)]
                after = answer[0].decode()
                if not after:
                    break
            if len(found) == limit:
                return found, after or found[-1].job_id
            after = ""
        return found, ""

    async def dead_letter(self, job_id: str) -> DeadLetterDetails:
        """Raises NotFound, and Conflict where the job is no dead letter."""
        self._partition(job_id)
        job = await view(self._scripts, job_id)
        if job is None:
            raise NotFound("There is no such job.")
        if job.status != "failed":
            raise Conflict(f"The job is no dead letter: it is {job.status}.")
        key = keys.record(self._partition(job_id), job_id)
        stored: list[Any] = await read(self._redis.hmget(key, ["request", "response"]))
        request, response = stored
        return DeadLetterDetails(
            job,
            None if request is None else self._readable(job_id, request),
            None if response is None else decode_response(response),
        )

    async def replay(self, job_id: str, rule: ActiveRule) -> None:
        """Send it again, as the last of its flow. Raises NotFound, and Conflict where it is no dead letter."""
        queue = rule.queue
        times = [int(queue.max_wait_seconds * 1000), queue.max_attempts]
        ttls = [queue.result_ttl_seconds * 1000, queue.dead_letter_ttl_seconds * 1000]
        parameters: list[Argument] = [
            rule.rule_id,
            rule.priority,
            rule.revision,
            rule.snapshot,
            rule.drain_interval_us,
        ]
        self._require(await self._one("replay", job_id, *parameters, *times, *ttls))

    async def discard(self, job_id: str) -> None:
        """Forget it. Raises NotFound, and Conflict where it is no dead letter."""
        self._require(await self._one("discard", job_id))

    def _readable(self, job_id: str, stored: bytes) -> StoredRequest | None:
        try:
            return self._envelope.decode(job_id, stored)
        except UnreadableRequest:
            return None

    async def _one(self, script: str, job_id: str, *arguments: Argument) -> int:
        prefix = keys.prefix(self._partition(job_id))
        return int(await self._scripts.call(script, [prefix], [job_id, *arguments]))

    def _partition(self, job_id: str) -> int:
        partition = partition_of(job_id)
        if partition is None or partition >= self._partitions:
            raise NotFound("There is no such job.")
        return partition

    @staticmethod
    def _require(answer: int) -> None:
        if answer == -1:
            raise NotFound("There is no such job.")
        if answer == -3:
            raise Conflict("Its request is nowhere any more.")
        if answer != 1:
            raise Conflict("The job is no dead letter.")


def _letter(fields: list[bytes]) -> DeadLetter:
    job_id, flow, died_us, attempts, code, message, answer = (field.decode() for field in fields)
    rule_id, _, descriptor = flow.partition("|")
    status = answer.partition(" ")[0]
    return DeadLetter(
        job_id,
        rule_id,
        descriptor,
        int(float(died_us)) // 1000,
        int(attempts),
        code,
        message,
        int(status) if status else None,
    )
