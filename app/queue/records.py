"""Job records as clients read them: status, position, ETA, the stored response."""

import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from redis.asyncio import Redis

from app.errors import InvalidInput
from app.jobs.model import Job, JobStatus, StoredResponse, decode_response, is_job_id, partition_of_job
from app.queue import keys
from app.queue.flow_name import own_rule_id
from app.queue.reads import read
from app.redis_wire.scripts import Argument, Scripts
from app.settings import Settings

CURSOR = r"^[0-9]{1,16}-[0-9a-f]{1,3}-[A-Za-z0-9_-]{22}$"
_CURSOR = re.compile(CURSOR[1:-1])
JOBS_A_CALL = 26
"""How many jobs one call of page.lua reads: four calls read a page of a hundred, and the job that follows it."""

CANCELED_AT_ONCE = 25

_STATUSES = {status.value: status for status in JobStatus}

_RESPONSE_BYTES = re.compile(rb"\|([0-9]+) ")


class CancelResult(IntEnum):
    """What cancel.lua returns for a job."""

    CANCELED = 1
    CANCELED_BEFORE = 2
    NOT_WAITING = 0
    """It is being sent, or it has ended in another way."""
    UNKNOWN = -1


class _Place(NamedTuple):
    """Where a job stands in its owner's list: the microsecond of its submission, and its id."""

    submitted_us: int
    job_id: str


@dataclass(frozen=True, slots=True)
class JobPage:
    """Some of an owner's jobs, newest first. `next`: the cursor of the next page; None: this is the last."""

    jobs: Sequence[Job]
    next: str | None


class Records:
    """Every method raises QueueUnavailable if the queue Redis can't be reached."""

    def __init__(self, redis: Redis, scripts: Scripts, settings: Settings) -> None:
        self._redis = redis
        self._partitions = settings.queue_partitions
        self._scripts = scripts

    async def get(self, job_id: str) -> Job | None:
        """The job as it stands now."""
        return await view(self._scripts, job_id) if self._is_ours(job_id) else None

    async def response(self, job_id: str) -> StoredResponse | None:
        """The app server's answer; None if there is none. Its `body` is None if it was too large to keep."""
        if not self._is_ours(job_id):
            return None
        text: bytes | None = await read(self._redis.get(keys.record(partition_of_job(job_id), job_id)))
        return None if text is None else stored_response(text)

    async def cancel(self, job_id: str) -> bool:
        """Cancel a job that has not been sent. False if it is being sent, final or not known."""
        return (await self.cancel_all([job_id]))[job_id] in {CancelResult.CANCELED, CancelResult.CANCELED_BEFORE}

    async def cancel_all(self, job_ids: Sequence[str]) -> dict[str, CancelResult]:
        """Cancel the jobs of these that have not been sent; what has become of each."""
        results = dict.fromkeys(job_ids, CancelResult.UNKNOWN)
        by_partition: dict[int, list[str]] = {}
        for job_id in filter(self._is_ours, results):
            by_partition.setdefault(partition_of_job(job_id), []).append(job_id)
        for partition, ids in by_partition.items():
            for first in range(0, len(ids), CANCELED_AT_ONCE):
                some = ids[first : first + CANCELED_AT_ONCE]
                answers = await self._scripts.call("cancel", [keys.prefix(partition)], some)
                results.update(zip(some, map(CancelResult, answers), strict=True))
        return results

    async def views(self, partition: int, job_ids: Sequence[str]) -> list[Job]:
        """Those of a partition's jobs that are not gone, in this order."""
        found: list[Job] = []
        for first in range(0, len(job_ids), JOBS_A_CALL):
            some = job_ids[first : first + JOBS_A_CALL]
            found += map(job_of_view, await self._scripts.call("views", [keys.prefix(partition)], some))
        return found

    async def page(self, owner: str, limit: int, cursor: str | None = None) -> JobPage:
        """An owner's jobs, newest first. Raises InvalidInput for what is no cursor.

        A cursor is a place in time: jobs that come or go meanwhile neither repeat one nor leave one out.
        """
        after: tuple[Argument, Argument] = ("", "") if cursor is None else _place(cursor)
        parts = [self._part_of_page(partition, owner, limit + 1, after) for partition in range(self._partitions)]
        found = [row for part in await asyncio.gather(*parts) for row in part]
        found.sort(key=_place_of, reverse=True)
        following = found[limit - 1][0] if len(found) > limit else None
        jobs = [job for _, job in found[:limit]]
        return JobPage(jobs, None if following is None else f"{following.submitted_us}-{following.job_id}")

    async def _part_of_page(
        self, partition: int, owner: str, limit: int, after: tuple[Argument, Argument]
    ) -> list[tuple[_Place, Job]]:
        """One partition's jobs, read a few at a time, so that nobody waits for a page of another caller."""
        found: list[tuple[_Place, Job]] = []
        has_more = 1
        while has_more and len(found) < limit:
            some = min(JOBS_A_CALL, limit - len(found))
            reply = await self._scripts.call("page", [keys.prefix(partition)], [owner, some, *after])
            has_more, *after_these = reply[:3]
            after = (after_these[0], after_these[1])
            found += _rows(reply[3:])
        return found

    def _is_ours(self, job_id: str) -> bool:
        return is_job_id(job_id, self._partitions)


async def view(scripts: Scripts, job_id: str) -> Job | None:
    """One job, in one round trip; `job_id` must be a job's id."""
    found: bytes | None = await scripts.call("view", [keys.prefix(partition_of_job(job_id))], [job_id])
    return None if found is None else job_of_view(found)


def stored_response(record: bytes) -> StoredResponse | None:
    """The app server's answer in the record of a final job (app/queue/lua/_records.lua); None if there is none."""
    line, _, rest = record.partition(b"\n")
    # The place on Kafka is the last field that a bar ends; a flow's name has bars, but no spaces after a number.
    sizes = _RESPONSE_BYTES.findall(line) if line[:2] in {b"s ", b"f ", b"c "} else []
    size = int(sizes[-1]) if sizes else 0
    return decode_response(rest[:size]) if size else None


def stored_request(record: bytes) -> bytes | None:
    """The request in the record of a dead letter or of a waiting job; None if it is not there."""
    line, _, rest = record.partition(b"\n")
    if line[:2] in {b"s ", b"c "}:
        return None
    sizes = _RESPONSE_BYTES.findall(line) if line.startswith(b"f ") else []
    return rest[int(sizes[-1]) if sizes else 0 :] or None


def _rows(page: Sequence[bytes]) -> list[tuple[_Place, Job]]:
    """The jobs of what page.lua returns, each with its place."""
    jobs = [job_of_view(view) for view in page[1::2]]
    return [(_Place(int(submitted_us), job.id), job) for submitted_us, job in zip(page[::2], jobs, strict=True)]


def _place_of(row: tuple[_Place, Job]) -> _Place:
    return row[0]


def _place(cursor: str) -> _Place:
    if _CURSOR.fullmatch(cursor) is None:
        raise InvalidInput("This is no cursor of ours.")
    submitted_us, _, job_id = cursor.partition("-")
    return _Place(int(submitted_us), job_id)


def job_of_view(view: bytes) -> Job:
    """A job as _views.lua describes it."""
    (
        job_id, status, flow, owner, submitted, attempts, started, finished, code, message, answer, stored, position,
        eta_us, ttl_ms, waiting_for,
    ) = view.decode().split("\n")  # fmt: skip
    job_status = _STATUSES[status]
    failed = job_status is JobStatus.FAILED
    return Job(
        id=job_id,
        owner="" if owner == "-" else owner,
        rule_id=own_rule_id(flow),
        flow=flow,
        status=job_status,
        attempts=int(attempts),
        submitted_at_ms=int(submitted),
        started_at_ms=_optional_int(started),
        finished_at_ms=_optional_int(finished),
        expires_at_ms=None if ttl_ms == "-1" else _now_ms() + int(ttl_ms),
        error_code=code if failed else None,
        error_message=message if failed else None,
        response_status=_optional_int(answer),
        response_stored=stored == "1",
        position=int(position) or None,
        eta_s=None if eta_us == "-1" else int(eta_us) / 1e6,
        waiting_for=waiting_for or None,
    )


def _optional_int(text: str) -> int | None:
    return None if text == "-" else int(text)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
