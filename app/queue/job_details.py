"""One job with its attempts, and what its flow waits for."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from redis.asyncio import Redis

from app.jobs.model import Job, JobStatus, StoredRequest, StoredResponse, is_job_id, partition_of_job
from app.queue import keys
from app.queue.envelope import Envelope, UnreadableRequest
from app.queue.reads import read
from app.queue.records import job_of_view, stored_request, stored_response
from app.redis_wire.scripts import Scripts
from app.settings import Settings


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to send a job. Times are Unix milliseconds by the clock of the queue Redis.

    `number` counts every attempt, those too that used none of the rule's `max_attempts`. `started_at_ms` is when the
    request was sent, or of an attempt in flight when its worker got the job. `ended_at_ms` is None while it is in
    flight. `code` says why it failed, and is None for one that did not.
    """

    number: int
    worker: str
    started_at_ms: int
    ended_at_ms: int | None
    code: str | None
    response_status: int | None


@dataclass(frozen=True, slots=True)
class Replay:
    """A replay of the job when it was a dead letter. Times are Unix milliseconds by the clock of the queue Redis.

    `after_attempt` is the number of the last attempt before it, 0 where there was none. `failed_at_ms` and `code`: when
    and why the job had failed. A replay is forgotten with the attempt before it; of several replays after one attempt
    only the last is kept.
    """

    after_attempt: int
    failed_at_ms: int
    code: str
    replayed_at_ms: int


@dataclass(frozen=True, slots=True)
class WaitingFlow:
    """The flow of a job that is not final. Times are Unix microseconds by the clock of the queue Redis.

    `open_jobs` and `request_bytes` are of all its jobs that are not final. `paused`: its rule is paused, or the flow by
    itself (`paused_by_itself`). `held_until_us`: until then the app server takes no more of it, as its answer said,
    which `hold_code` names. `ring` is the counter for which the flow takes turns with others, `ring_flows` how many
    they are. `leased_until_us`: a worker has it until then at the latest. `due_us`: when it is worth a look; None while
    nothing of it waits, or it is paused.
    """

    open_jobs: int
    request_bytes: int
    paused: bool
    paused_by_itself: bool
    held_until_us: int | None
    hold_code: str | None
    ring: str | None
    ring_flows: int | None
    leased_until_us: int | None
    due_us: int | None


@dataclass(frozen=True, slots=True)
class JobDetails:
    """A job with its latest attempts and replays, the oldest first. `flow` is None once the job is final.

    `now_us`: when it was read, by the clock of the queue Redis.
    """

    job: Job
    attempts: Sequence[Attempt]
    replays: Sequence[Replay]
    flow: WaitingFlow | None
    now_us: int


class JobContents(NamedTuple):
    """What a job was sent, and what came back; None where it is not stored or cannot be read."""

    request: StoredRequest | None
    response: StoredResponse | None


class JobDetailsReader:
    """Reads one job with all that is known of it. Methods raise QueueUnavailable."""

    def __init__(self, redis: Redis, scripts: Scripts, settings: Settings) -> None:
        self._redis = redis
        self._scripts = scripts
        self._partitions = settings.queue_partitions
        self._envelope = Envelope.of(settings)

    async def get(self, job_id: str) -> JobDetails | None:
        """A job with its attempts and what it waits for; None where there is no such job."""
        return await read_details(self._scripts, job_id) if is_job_id(job_id, self._partitions) else None

    async def contents(self, job_id: str) -> JobContents:
        """The request and the response of a job; `job_id` must be a job's id."""
        return await read_contents(self._redis, self._envelope, job_id)


async def read_contents(redis: Redis, envelope: Envelope, job_id: str) -> JobContents:
    """The request and the response of a job; `job_id` must be a job's id. Raises QueueUnavailable."""
    record: bytes | None = await read(redis.get(keys.record(partition_of_job(job_id), job_id)))
    if record is None:
        return JobContents(None, None)
    request = None
    if (stored := stored_request(record)) is not None:
        with suppress(UnreadableRequest):
            request = envelope.decode(job_id, stored)
    return JobContents(request, stored_response(record))


async def read_details(scripts: Scripts, job_id: str) -> JobDetails | None:
    """A job with its attempts, in one round trip; `job_id` must be a job's id. Raises QueueUnavailable."""
    reply = await scripts.call("details", [keys.prefix(partition_of_job(job_id))], [job_id])
    if reply is None:
        return None
    view, past, worker, leased, took, now_us, *flow = reply
    job = job_of_view(view)
    attempts, replays = _past(past.decode())
    last = _last_attempt(job, attempts, worker.decode(), leased.decode(), took.decode())
    attempts += [] if last is None else [last]
    return JobDetails(job, attempts, replays, _flow(flow) if flow else None, int(now_us))


def _past(text: str) -> tuple[list[Attempt], list[Replay]]:
    """The attempts before the last one, and the replays, as app/queue/lua/_records.lua writes them."""
    attempts: list[Attempt] = []
    replays: list[Replay] = []
    for entry in [] if text == "-" else text.split(";"):
        number, worker, started, ended, code, answer, *replay = entry.split(",")
        if number != "0":
            attempts.append(
                Attempt(int(number), worker, int(started), int(ended), _optional(code), _optional_int(answer))
            )
        if replay:
            failed, reason, replayed = replay
            replays.append(Replay(int(number), int(failed), reason, int(replayed)))
    return attempts, replays


def _last_attempt(job: Job, past: Sequence[Attempt], worker: str, leased: str, took: str) -> Attempt | None:
    """The attempt that is in flight, or that brought the outcome; None where neither is."""
    number = past[-1].number + 1 if past else 1
    if job.status is JobStatus.RUNNING:
        return Attempt(number, worker, int(leased), None, None, None)
    if job.finished_at_ms is None or took == "-":
        return None
    started_at_ms = job.finished_at_ms - int(took)
    return Attempt(number, worker, started_at_ms, job.finished_at_ms, job.error_code, job.response_status)


def _flow(fields: Sequence[Any]) -> WaitingFlow:
    texts = [field.decode() for field in fields]
    open_jobs, request_bytes, parked, held_until, hold_code, ring, ring_flows, leased_until, due = texts
    return WaitingFlow(
        int(open_jobs), int(request_bytes), bool(parked), parked == "flow", _int_or_none(held_until), hold_code or None,
        ring or None, _int_or_none(ring_flows), _int_or_none(leased_until), _int_or_none(due),
    )  # fmt: skip


def _optional(text: str) -> str | None:
    return None if text == "-" else text


def _optional_int(text: str) -> int | None:
    return None if text == "-" else int(text)


def _int_or_none(text: str) -> int | None:
    return int(text) if text else None
