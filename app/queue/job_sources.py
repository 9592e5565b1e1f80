"""Where an operator's search looks for jobs: lists that the queue Redis has anyway, each read a step at a time.

A source reads one step from a place, which is a text, empty for the first one, and says where the next step begins. A
step looks at a bounded number of entries, and so may bring no jobs although others follow.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from redis.asyncio import Redis

from app.errors import InvalidInput
from app.jobs.model import Job, JobStatus
from app.queue import keys, outcomes
from app.queue.outcomes import recent_outcomes
from app.queue.reads import read
from app.queue.records import JOBS_A_CALL, Records
from app.redis_wire.scripts import Argument, Scripts

LEASED_AT_ONCE = 500
"""How many of the jobs that were leased one step looks at."""

SPILLED_LIST, AWAITING_LIST = (1,), (2,)
EVERY_LIST = (0, *SPILLED_LIST, *AWAITING_LIST)
"""The lists of a flow in the order of its jobs: those that are here, left on Kafka, and not read from Kafka yet."""

_STREAM_PLACE = re.compile(r"[0-9]{1,16}-[0-9]{1,16}")
_LEASED_PLACE = re.compile(r"([0-9]{1,15}) (\S*)")
_FLOWS_PLACE = re.compile(r"([0-9]{1,15}) ([0-2]) ([0-9]{1,15}) (\S*)")
_LISTS = (keys.waiting_in, keys.spilled_in, keys.awaiting_in)


class Step(NamedTuple):
    """The jobs of one step. `next`: where to go on; None: there are no more."""

    jobs: Sequence[Job]
    next: str | None


class Source(Protocol):
    """A list of jobs."""

    async def step(self, place: str, limit: int) -> Step:
        """Read up to `limit` jobs from a place on. Raises InvalidInput for what is no place, and QueueUnavailable."""


@dataclass(frozen=True, slots=True)
class OwnedJobs:
    """An owner's jobs of all partitions, newest first: those that have ended too, while their records are kept."""

    records: Records
    owner: str

    async def step(self, place: str, limit: int) -> Step:
        """Read a page of the owner's list."""
        page = await self.records.page(self.owner, min(limit, JOBS_A_CALL - 1), place or None)
        return Step(page.jobs, page.next)


@dataclass(frozen=True, slots=True)
class OpenJobs:
    """All jobs of a partition that are not final and whose requests are here, the latest accepted first."""

    redis: Redis
    records: Records
    partition: int

    async def step(self, place: str, limit: int) -> Step:
        """Read a page of the stream."""
        if place and not _STREAM_PLACE.fullmatch(place):
            raise InvalidInput("This is no cursor of ours.")
        stream, newest, count = keys.jobs_stream(self.partition), f"({place}" if place else "+", min(limit, JOBS_A_CALL)
        entries = await read(self.redis.xrevrange(stream, newest, "-", count=count))
        jobs = await self.records.views(self.partition, [entry[b"id"].decode() for _, entry in entries])
        return Step(jobs, entries[-1][0].decode() if len(entries) == count else None)


@dataclass(frozen=True, slots=True)
class LeasedJobs:
    """A partition's jobs that were leased and are not final, in no order. `text`: what a flow's name or owner has.

    `only_away`: only those that do not wait in their flows, because they are in flight or back off.
    """

    scripts: Scripts
    records: Records
    partition: int
    text: str
    status: JobStatus | None
    only_away: bool

    async def step(self, place: str, limit: int) -> Step:
        """Read a page of what is noted of leased jobs."""
        found = _LEASED_PLACE.fullmatch(place or "0 ")
        if found is None:
            raise InvalidInput("This is no cursor of ours.")
        cursor, after = found.groups()
        following, ids = await leased_ids(self.scripts, self.partition, cursor, self.text, self.status)
        rest = [job_id for job_id in sorted(ids) if job_id > after]
        some = rest[: min(limit, JOBS_A_CALL)]
        jobs = await self.records.views(self.partition, some) if some else []
        shown = [job for job in jobs if job.position is None] if self.only_away else jobs
        if len(rest) > len(some):
            return Step(shown, f"{cursor} {some[-1]}")
        return Step(shown, None if following == "0" else f"{following} ")


async def leased_ids(
    scripts: Scripts, partition: int, cursor: str, text: str = "", status: JobStatus | None = None
) -> tuple[str, list[str]]:
    """A cursor to go on with, `0` for the end, and ids of jobs that were leased and are not final."""
    arguments: list[Argument] = [cursor, LEASED_AT_ONCE, text, "" if status is None else status.value]
    following, ids = await scripts.call("leased", [keys.prefix(partition)], arguments)
    return following.decode(), [job_id.decode() for job_id in ids]


Scan = Callable[[str], Awaitable[tuple[str, Sequence[str]]]]
"""Reads a page of names of flows from a cursor on, `0` for the first; returns the next cursor, `0` for the end."""


@dataclass(frozen=True, slots=True)
class JobsInFlows:
    """The jobs that wait in some flows of a partition, each flow in its order."""

    redis: Redis
    records: Records
    partition: int
    lists: tuple[int, ...]
    scan: Scan

    async def step(self, place: str, limit: int) -> Step:
        """Read the next jobs of the flows of one page of names."""
        found = _FLOWS_PLACE.fullmatch(place or "0 0 0 ")
        if found is None:
            raise InvalidInput("This is no cursor of ours.")
        cursor, number, seq, flow = found.groups()
        following, names = await self.scan(cursor)
        waiting = await self._waiting([name for name in sorted(names) if name >= flow], flow, int(number), int(seq))
        some = waiting[: min(limit, JOBS_A_CALL)]
        jobs = await self.records.views(self.partition, [one.job_id for one in some]) if some else []
        if len(some) < len(waiting) or len(waiting) >= JOBS_A_CALL:
            last = some[-1]
            return Step(jobs, f"{cursor} {last.number} {last.seq} {last.flow}")
        return Step(jobs, None if following == "0" else f"{following} 0 0 ")

    async def _waiting(self, names: Sequence[str], flow: str, number: int, seq: int) -> list["_Waiting"]:
        """Where the next jobs of these flows wait, in their order; of the first flow those after a place."""
        found: list[_Waiting] = []
        for first in range(0, len(names), JOBS_A_CALL):
            pipeline, asked = self.redis.pipeline(transaction=False), list[tuple[str, int]]()
            for name in names[first : first + JOBS_A_CALL]:
                for which in self.lists:
                    if name == flow and which < number:
                        continue
                    after = f"({seq}" if (name, which) == (flow, number) else "-inf"
                    key = _LISTS[which](self.partition, name)
                    pipeline.zrangebyscore(key, after, "+inf", 0, JOBS_A_CALL, withscores=True)
                    asked.append((name, which))
            for (name, which), members in zip(asked, await read(pipeline.execute()), strict=True):
                found += [_Waiting(name, which, int(score), _id_of(member)) for member, score in members]
            if len(found) >= JOBS_A_CALL:
                break
        return found


class _Waiting(NamedTuple):
    """A job in its flow: in which of the flow's lists, and its number in the flow."""

    flow: str
    number: int
    seq: int
    job_id: str


def _id_of(member: bytes) -> str:
    """The id of a job in a flow's list, where its costs may follow."""
    return member.partition(b" ")[0].decode()


@dataclass(frozen=True, slots=True)
class EndedJobs:
    """A partition's recent outcomes, those of the latest batch first; a failure that a replay has undone is none.

    `text` and `only_gone` are as for `recent_outcomes`; `from_ms` and `to_ms` are when they were stored.
    """

    scripts: Scripts
    records: Records
    partition: int
    statuses: frozenset[JobStatus]
    text: str
    only_gone: bool
    from_ms: int | None
    to_ms: int | None

    async def step(self, place: str, limit: int) -> Step:
        """Read a page of the outcomes."""
        if place and not outcomes.PLACE.fullmatch(place):
            raise InvalidInput("This is no cursor of ours.")
        newest = outcomes.NEWEST if self.to_ms is None else outcomes.place_before(self.to_ms)
        page = await recent_outcomes(
            self.scripts, self.partition, place or newest, limit, self.statuses, self.text, only_gone=self.only_gone
        )
        is_over = page.next is None or (self.from_ms is not None and outcomes.time_of(page.next) < self.from_ms)
        return Step(await self._in_force(page.jobs), None if is_over else page.next)

    async def _in_force(self, ended: Sequence[Job]) -> list[Job]:
        """The outcomes that are still those of their jobs, as far as their records tell."""
        failed = [job.id for job in ended if job.status is JobStatus.FAILED]
        present = {job.id: job for job in await self.records.views(self.partition, failed)}
        return [job for job in ended if _ended_so(job, present.get(job.id))]


def _ended_so(outcome: Job, present: Job | None) -> bool:
    """Whether a job ended as an outcome says; so does one whose record is gone."""
    return present is None or (present.status, present.finished_at_ms) == (outcome.status, outcome.finished_at_ms)
