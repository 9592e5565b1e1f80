"""Job records as clients read them: status, position, ETA, the stored response."""

import time
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.errors import QueueUnavailable
from app.jobs.model import Job, JobStatus, StoredResponse, decode_response, partition_of
from app.lua import Scripts
from app.queue import keys
from app.settings import Settings


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
        stored = await self._read(self._redis.hget(key, "response"))
        return None if stored is None else decode_response(stored)

    async def cancel(self, job_id: str) -> bool:
        """Cancel a job that has not been sent; False where it runs, is final or is not known."""
        if not self._known_partition(job_id):
            return False
        answer = await self._scripts.call("cancel", [keys.prefix(_partition(job_id))], [job_id])
        return bool(answer == 1)

    async def list(self, owner: str, limit: int, before: str | None = None) -> list[Job]:
        """An owner's jobs, newest first; `before` names the job that the page begins after."""
        ids: list[tuple[float, str]] = []
        for partition in range(self._partitions):
            key = keys.owned(partition, owner)
            found = await self._read(self._redis.zrevrange(key, 0, -1, withscores=True))
            ids += [(score, member.decode()) for member, score in found]
        newest_first = [job_id for _, job_id in sorted(ids, reverse=True)]
        if before in newest_first:
            newest_first = newest_first[newest_first.index(before) + 1 :]
        jobs = [await self.get(job_id) for job_id in newest_first[:limit]]
        return [job for job in jobs if job is not None]

    def _known_partition(self, job_id: str) -> bool:
        partition = partition_of(job_id)
        return partition is not None and partition < self._partitions

    async def _read(self, reading: Any) -> Any:  # noqa: ANN401 - redis-py's answers are untyped
        try:
            return await reading
        except (RedisError, OSError, TimeoutError) as error:
            raise QueueUnavailable(f"Redis: {error}") from error


async def view(scripts: Scripts, job_id: str) -> Job | None:
    """One job, in one round trip; `job_id` must name a partition."""
    fields = await scripts.call("view", [keys.prefix(_partition(job_id))], [job_id])
    return _job(job_id, fields) if fields else None


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
