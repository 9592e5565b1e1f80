"""How jobs and flows are written for the scripts, and their answers read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from typing import Any, NamedTuple

from app.jobs.model import Job, JobStatus, StoredRequest, encode_response
from app.queue import keys
from app.queue.flow_parameters import FLOW_PARAMETERS, flow_parameters
from app.queue.model import Deferral, Enqueued, FlowHead, Settlement, TakenFlow, TakenRing
from app.redis_wire.resp import bulk, bulks
from app.redis_wire.scripts import Argument, Script
from app.rules.active import ActiveRule

_HEADER_ARGUMENTS, _JOB_ARGUMENTS = 5, 10


@dataclass(frozen=True, slots=True)
class NewJob:
    """A deferral on its way into its flow; `stored` is the encoded request, empty if it goes to Kafka."""

    id: str
    flow: str
    deferral: Deferral
    stored: bytes


def enqueue_limits(max_jobs: int, max_bytes: int, max_memory: float, *, by_kafka: bool) -> bytes:
    """The first arguments of enqueue.lua."""
    return bulks((max_jobs, max_bytes, max_memory, int(by_kafka)))


def enqueue_call(script: Script, prefix: str, jobs: Sequence[NewJob], limits: bytes) -> bytes:
    """A call of enqueue.lua. What jobs of one rule share is sent once."""
    numbers: dict[ActiveRule, int] = {}
    parts = []
    for job in jobs:
        number = numbers.setdefault(job.deferral.rule, len(numbers) + 1)
        parts.append(_job_arguments(job, number))
    rules = [flow_parameters(rule) for rule in numbers]
    count = _HEADER_ARGUMENTS + FLOW_PARAMETERS * len(rules) + _JOB_ARGUMENTS * len(jobs)
    return b"".join((script.head(1, count), bulk(prefix), limits, bulk(len(rules)), *rules, *parts))


def _job_arguments(job: NewJob, rule_number: int) -> bytes:
    deferral = job.deferral
    key = deferral.idempotency_key
    return bulks((
        rule_number, job.id, job.flow, deferral.owner or "-", deferral.costs, job.stored, deferral.due_in_us,
        deferral.interval_us or "", "" if key is None else keys.idempotency_name(deferral.owner, key),
        "" if key is None else fingerprint(deferral.request),
    ))  # fmt: skip


class EnqueueAnswer(NamedTuple):
    """What enqueue.lua returns for one job; what `first` and `second` are depends on the kind."""

    at_us: int
    kind: bytes
    first: Any
    second: int


def read_enqueue_answers(fields: Sequence[Any]) -> list[EnqueueAnswer]:
    """What enqueue.lua returns, by job."""
    at_us = fields[0]
    return [EnqueueAnswer(at_us, *fields[at : at + 3]) for at in range(1, len(fields), 3)]


def read_enqueued(new: NewJob, answer: EnqueueAnswer) -> Enqueued:
    """A job as enqueue.lua stored it; `answer` is of the kind `queued`."""
    deferral = new.deferral
    at_us, _, position, eta_us = answer
    job = Job(
        id=new.id, owner=deferral.owner, rule_id=deferral.rule.rule_id, flow=new.flow, status=JobStatus.QUEUED,
        attempts=0, submitted_at_ms=at_us // 1000, started_at_ms=None, finished_at_ms=None, expires_at_ms=None,
        error_code=None, error_message=None, response_status=None, response_stored=False, position=position,
        eta_s=None if deferral.rule.paused or eta_us < 0 else eta_us / 1e6, waiting_for=deferral.rule.rule_id,
    )  # fmt: skip
    return Enqueued(job, flow_was_empty=position == 1, at_us=at_us)


class FoundJob(NamedTuple):
    """A job as lease.lua returns it."""

    id: bytes
    flow: bytes
    attempt: int
    max_attempts: bytes | int
    stored: bytes


class UnitLease(NamedTuple):
    """What lease.lua returns for a flow or a ring."""

    must_take_turns: bool
    jobs: list[FoundJob]
    heads: tuple[FlowHead, ...]


def read_taken(
    fields: Sequence[Any], partition: int, token: str, now_s: float
) -> tuple[float | None, list[TakenFlow | TakenRing]]:
    """What take.lua returns of a partition: seconds until something is due (None: never), and what was taken."""
    wait_us, at_us, *rest = fields
    reader, units = iter(rest), list[TakenFlow | TakenRing]()
    for late_us in reader:
        due_at_s = now_s - late_us / 1e6
        ring, size, flows = next(reader).decode(), next(reader), next(reader)
        heads = _read_heads(reader, flows)
        if ring:
            units.append(TakenRing(partition, ring, token, due_at_s, at_us, size, heads))
        else:
            units.append(TakenFlow(heads[0], token, due_at_s, at_us))
    return (None if wait_us < 0 else wait_us / 1e6), units


def read_leased(fields: Sequence[Any]) -> tuple[int, list[UnitLease | None]]:
    """What lease.lua returns: when, by the queue's clock, and what each unit has; None where it was lost."""
    at_us, *rest = fields
    reader, units = iter(rest), list[UnitLease | None]()
    for state in reader:
        if state == b"lost":
            units.append(None)
        else:
            jobs = [FoundJob(*islice(reader, len(FoundJob._fields))) for _ in range(next(reader))]
            units.append(UnitLease(state == 1, jobs, _read_heads(reader, next(reader))))
    return at_us, units


def _read_heads(reader: Iterator[Any], flows: int) -> tuple[FlowHead, ...]:
    """So many flows as _flows.lua describes them."""
    heads = []
    for _ in range(flows):
        name, depth, same_cost, costs = islice(reader, 4)
        heads.append(FlowHead(name.decode(), depth, same_cost, costs.decode()))
    return tuple(heads)


def settle_arguments(settlement: Settlement) -> list[Argument]:
    """One job's arguments of settle.lua."""
    job, response = settlement.job, settlement.response
    took = "-" if settlement.took_ms is None else settlement.took_ms
    answer: tuple[Argument, ...] = ("", f"0 {took}", b"")
    if response is not None:
        answer = (response.status, f"{int(response.body is not None)} {took}", encode_response(response))
    return [job.id, job.lease, settlement.status.value, settlement.code, settlement.message, *answer]


def fingerprint(request: StoredRequest) -> str:
    """What must be the same if an idempotency key is used again."""
    content_type = next((value for name, value in request.headers if name.lower() == b"content-type"), b"")
    digest = sha256()
    for part in (request.method.encode(), request.target, content_type, request.body):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:32]
