"""Job records as clients read them: status, position, ETA, the stored response."""

import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from app.errors import InvalidInput
from app.jobs.model import Job, JobStatus, StoredResponse, decode_response, partition_of
from app.queue import keys
from app.queue.reads import read
from app.redis_wire.scripts import Scripts
from app.settings import Settings

CURSOR = r"^[0-9]{1,16}-[0-9a-f]{1,3}-[A-Za-z0-9_-]{22}$"
_CURSOR = re.compile(CURSOR[1:-1])
PASSES = 10
"""How often a page is filled up, where records ended that the list still names."""

Place = tuple[int, str]
"""Where a job stands in its owner's list: the microsecond of its submission, and its id."""


@dataclass(frozen=True, slots=True)
class JobPage:
    """Some of an owner's jobs, newest first. `next`: the cursor of the next page; None: this is the last."""

    jobs: Sequence[Job]
    next: str | None


class Records:
    """Every method raises QueueUnavailable where the queue Redis can't be reached."""

    def __init__(self, redis: Redis, scripts: Scripts, settings: Settings) -> None:
        self._redis = redis
        self._partitions = settings.queue_partitions
        self._scripts = scripts

    async def get(self, job_id: str) -> Job | None:
        """The job as it stands now."""
        return await view(self._scripts, job_id) if self._known_partition(job_id) else None

    async def response(self, job_id: str) -> StoredResponse | None:
        """The app server's answer; None where there is none, `body` None where it was too large to keep."""
        partition = partition_of(job_id)
        if partition is None or not self._known_partition(job_id):
            return None
        key = keys.record(partition, job_id)
        stored = await read(self._redis.hget(key, "response"))
        return None if stored is None else decode_response(stored)

    async def cancel(self, job_id: str) -> bool:
        """Cancel a job that has not been sent; False where it runs, is final or is not known."""
        if not self._known_partition(job_id):
            return False
        answer = await self._scripts.call("cancel", [keys.prefix(_partition(job_id))], [job_id])
        return bool(answer == 1)

    async def page(self, owner: str, limit: int, cursor: str | None = None) -> JobPage:
        """An owner's jobs, newest first. Raises InvalidInput for what is no cursor.

        A cursor is a place in time: jobs that come or go meanwhile neither repeat one nor leave one out.
        """
        after = None if cursor is None else _place(cursor)
        jobs: list[Job] = []
        for _ in range(PASSES):
            places = await self._places(owner, limit + 1, after)
            chosen = places[: limit - len(jobs)]
            found = await asyncio.gather(*(self.get(job_id) for _, job_id in chosen))
            jobs += [job for job in found if job is not None]
            if len(chosen) == len(places):
                return JobPage(jobs, None)
            after = chosen[-1]
            if len(jobs) == limit:
                break
        return JobPage(jobs, None if after is None else f"{after[0]}-{after[1]}")

    async def _places(self, owner: str, most: int, after: Place | None) -> list[Place]:
        """The next in an owner's list. The highest score is included, in case two jobs share a microsecond."""
        highest = "+inf" if after is None else after[0]
        pipeline = self._redis.pipeline(transaction=False)
        for partition in range(self._partitions):
            key = keys.owned(partition, owner)
            pipeline.zrevrangebyscore(key, highest, "-inf", start=0, num=most + 1, withscores=True)
        answers = await read(pipeline.execute())
        places = [(int(score), member.decode()) for answer in answers for member, score in answer]
        return sorted((place for place in places if after is None or place < after), reverse=True)[:most]

    def _known_partition(self, job_id: str) -> bool:
        partition = partition_of(job_id)
        return partition is not None and partition < self._partitions


async def view(scripts: Scripts, job_id: str) -> Job | None:
    """One job, in one round trip; `job_id` must name a partition."""
    fields = await scripts.call("view", [keys.prefix(_partition(job_id))], [job_id])
    return _job(job_id, fields) if fields else None


def _place(cursor: str) -> Place:
    if _CURSOR.fullmatch(cursor) is None:
        raise InvalidInput("This is no cursor of ours.")
    submitted_us, _, job_id = cursor.partition("-")
    return int(submitted_us), job_id


def _partition(job_id: str) -> int:
    partition = partition_of(job_id)
    assert partition is not None, "checked by the caller"
    return partition


def _job(job_id: str, fields: list[Any]) -> Job:
    status, flow, owner, submitted, attempts, started, finished, code, message, answer, position, eta, ttl = fields
    job_status = JobStatus(status.decode())
    failed = job_status is JobStatus.FAILED
    response_status, _, stored = answer.partition(b" ")
    return Job(
        id=job_id,
        owner="" if owner == b"-" else owner.decode(),
        rule_id=flow.decode().partition("|")[0],
        status=job_status,
        attempts=int(attempts),
        submitted_at_ms=int(submitted),
        started_at_ms=_optional_int(started),
        finished_at_ms=_optional_int(finished),
        expires_at_ms=_now_ms() + ttl if ttl >= 0 else None,
        error_code=code.decode() if failed else None,
        error_message=message.decode() if failed else None,
        response_status=_optional_int(response_status),
        response_stored=stored == b"1",
        position=position or None,
        eta_s=None if eta < 0 else eta / 1e6,
    )


def _optional_int(text: bytes) -> int | None:
    return int(text) if text else None


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
