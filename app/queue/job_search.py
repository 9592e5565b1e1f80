"""The search for jobs, whatever their status: a page of them at a time."""

import base64
import binascii
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from redis.asyncio import Redis

from app.errors import InvalidInput
from app.jobs.model import Job, JobStatus
from app.queue import keys
from app.queue.flow_name import names_descriptor, own_rule_id
from app.queue.job_filter import JobFilter
from app.queue.job_sources import (
    AWAITING_LIST,
    EVERY_LIST,
    SPILLED_LIST,
    EndedJobs,
    JobsInFlows,
    LeasedJobs,
    OpenJobs,
    OwnedJobs,
    Scan,
    Source,
)
from app.queue.reads import as_glob, read
from app.queue.records import Records
from app.redis_wire.scripts import Scripts
from app.settings import Settings

MAX_STEPS = 400
"""How many steps one page takes at most; it is shorter, and may be empty, where few of the jobs are wanted."""

SCANNED_AT_ONCE = 1000
"""How many names of flows one step looks at, where few of them are wanted."""

FEW_SCANNED = 200
"""The same where most of them are."""

CURSOR = r"^[A-Za-z0-9_-]{4,4000}$"
_PLACE = re.compile(r"([0-9]{1,6}) ([^\x00-\x1f]*)")

_AWAY = frozenset({JobStatus.RUNNING, JobStatus.RETRYING})


class FoundJobs(NamedTuple):
    """A page of jobs. `next`: the cursor of the next page; None: this is the last."""

    jobs: list[Job]
    next: str | None


class JobSearch:
    """Finds jobs by the shortest list that the queue Redis has for a filter. Methods raise QueueUnavailable.

    An owner's jobs are in the owner's list, those of a rule, a descriptor or a flow in the lists of its flows. Without
    any of these the search looks at all jobs that are not final, page by page. Jobs that have ended are found among
    the recent outcomes.
    """

    def __init__(self, redis: Redis, scripts: Scripts, records: Records, settings: Settings) -> None:
        self._redis = redis
        self._scripts = scripts
        self._records = records
        self._partitions = settings.queue_partitions

    async def page(self, wanted: JobFilter, limit: int, cursor: str | None = None) -> FoundJobs:
        """Up to `limit` jobs. Raises InvalidInput for what is no cursor.

        A page has each job once. Those that do not end and are not sent meanwhile are on one page only; others may be
        on two, as they were and as they are.
        """
        sources = self._sources(wanted)
        number, place = (0, "") if cursor is None else _decoded(cursor)
        found: dict[str, Job] = {}
        steps = 0
        while number < len(sources):
            if len(found) == limit or steps == MAX_STEPS:
                return FoundJobs([*found.values()], _encoded(number, place))
            step = await sources[number].step(place, limit - len(found))
            for job in filter(wanted.matches, step.jobs):
                found.setdefault(job.id, job)
            number, place = (number + 1, "") if step.next is None else (number, step.next)
            steps += 1
        return FoundJobs([*found.values()], None)

    async def now_us(self) -> int:
        """The time by the clock of the queue Redis, in Unix microseconds."""
        seconds, microseconds = await read(self._redis.time())
        return int(seconds) * 1_000_000 + int(microseconds)

    def _sources(self, wanted: JobFilter) -> list[Source]:
        """Where to look, in this order: first for what has not ended."""
        sources: list[Source] = []
        if wanted.owner is not None:
            sources.append(OwnedJobs(self._records, wanted.owner))
        for partition in range(self._partitions):
            if wanted.owner is None and wanted.waiting:
                sources += self._open(partition, wanted)
        for partition in range(self._partitions):
            if wanted.final:
                sources.append(self._ended(partition, wanted))
        return sources

    def _open(self, partition: int, wanted: JobFilter) -> Sequence[Source]:
        """The lists of jobs that are not final."""
        text = _text_of(wanted)
        if wanted.waiting <= _AWAY:
            [status, *more] = wanted.waiting
            return [self._leased(partition, text, None if more else status, only_away=False)]
        if text:
            in_flows = JobsInFlows(self._redis, self._records, partition, EVERY_LIST, self._scan(partition, wanted))
            away = self._leased(partition, text, None, only_away=True)
            return [in_flows] if wanted.waiting == {JobStatus.QUEUED} else [in_flows, away]
        return [OpenJobs(self._redis, self._records, partition), *self._on_kafka(partition)]

    def _on_kafka(self, partition: int) -> list[Source]:
        """The jobs whose requests are not here, which the stream of all jobs does not have."""
        return [
            JobsInFlows(self._redis, self._records, partition, lists, self._scan_sorted_set(key, "*", _any_flow))
            for key, lists in zip(keys.flows_on_kafka(partition), (SPILLED_LIST, AWAITING_LIST), strict=True)
        ]

    def _leased(self, partition: int, text: str, status: JobStatus | None, *, only_away: bool) -> LeasedJobs:
        return LeasedJobs(self._scripts, self._records, partition, text, status, only_away)

    def _ended(self, partition: int, wanted: JobFilter) -> EndedJobs:
        """The recent outcomes; of an owner only those that its list no longer has."""
        starts = [time for time in (wanted.finished_from_ms, wanted.submitted_from_ms) if time is not None]
        return EndedJobs(
            self._scripts, self._records, partition, wanted.final, _text_of(wanted), wanted.owner is not None,
            max(starts, default=None), wanted.finished_to_ms,
        )  # fmt: skip

    def _scan(self, partition: int, wanted: JobFilter) -> Scan:
        """How to find the flows that a filter names."""
        flow, rule_id, descriptor = wanted.flow, wanted.rule_id, wanted.descriptor
        if flow is not None:
            is_here = keys.partition_of_flow(flow, self._partitions) == partition

            async def only(_: str) -> tuple[str, Sequence[str]]:
                return "0", [flow] if is_here else []

            return only

        def is_wanted(name: str) -> bool:
            of_rule = rule_id is None or own_rule_id(name) == rule_id
            return of_rule and (descriptor is None or names_descriptor(name, descriptor))

        pattern = f"{rule_id or '*'}|*{as_glob(descriptor)}*" if descriptor else f"{rule_id}|*"
        if rule_id is None:
            return self._scan_sorted_set(keys.flows_with_waiting_jobs(partition), pattern, is_wanted)
        return self._scan_set(keys.flows_of_rule(partition, rule_id), pattern, is_wanted)

    def _scan_sorted_set(self, key: str, pattern: str, is_wanted: Callable[[str], bool]) -> Scan:
        async def scan(cursor: str) -> tuple[str, Sequence[str]]:
            count = SCANNED_AT_ONCE if "*" in pattern[:-1] else FEW_SCANNED
            following, members = await read(_awaited(self._redis.zscan(key, int(cursor), match=pattern, count=count)))
            return _names(following, (member for member, _ in members), is_wanted)

        return scan

    def _scan_set(self, key: str, pattern: str, is_wanted: Callable[[str], bool]) -> Scan:
        async def scan(cursor: str) -> tuple[str, Sequence[str]]:
            count = SCANNED_AT_ONCE if "*" in pattern[:-1] else FEW_SCANNED
            following, members = await read(_awaited(self._redis.sscan(key, int(cursor), match=pattern, count=count)))
            return _names(following, members, is_wanted)

        return scan


def _awaited(reply: Any) -> Awaitable[Any]:  # noqa: ANN401 - redis-py's types leave open whether it is awaitable
    awaitable: Awaitable[Any] = reply
    return awaitable


def _names(following: Any, members: Any, is_wanted: Callable[[str], bool]) -> tuple[str, Sequence[str]]:  # noqa: ANN401
    names = (member.decode() for member in members)
    return str(int(following)), [name for name in names if is_wanted(name)]


def _any_flow(_: str) -> bool:
    return True


def _text_of(wanted: JobFilter) -> str:
    """What the record of each wanted job has, and few others; empty where neither owner, flow nor rule is named."""
    if wanted.owner is not None:
        return wanted.owner
    if wanted.flow is not None:
        return wanted.flow
    if wanted.descriptor is not None:
        return wanted.descriptor
    return "" if wanted.rule_id is None else f" {wanted.rule_id}|"


def _encoded(number: int, place: str) -> str:
    return base64.urlsafe_b64encode(f"{number} {place}".encode()).decode().rstrip("=")


def _decoded(cursor: str) -> tuple[int, str]:
    """The number of the source and the place in it. Raises InvalidInput."""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, ValueError) as error:
        raise InvalidInput("This is no cursor of ours.") from error
    found = _PLACE.fullmatch(text)
    if found is None:
        raise InvalidInput("This is no cursor of ours.")
    return int(found[1]), found[2]
