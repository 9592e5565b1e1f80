"""How jobs and flows are written for the scripts, and their answers read."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from app.jobs.model import Job, JobStatus, StoredRequest, encode_response
from app.queue import keys
from app.queue.flow_parameters import FLOW_PARAMETERS, flow_parameters
from app.queue.model import Deferral, Enqueued, FlowHead, Settlement, TakenFlow, TakenRing
from app.redis_wire.resp import bulk, bulks
from app.redis_wire.scripts import Argument, Script
from app.rules.active import ActiveRule

_HEADER_ARGUMENTS, _JOB_ARGUMENTS = 5, 9


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
        "" if key is None else keys.idempotency_name(deferral.owner, key),
        "" if key is None else fingerprint(deferral.request),
    ))  # fmt: skip


def read_enqueued(new: NewJob, answer: Sequence[Any], at_us: int) -> Enqueued:
    """A job as enqueue.lua stored it; `answer` is {"queued", position, eta_us}."""
    deferral = new.deferral
    _, position, eta_us = answer
    job = Job(
        id=new.id, owner=deferral.owner, rule_id=deferral.rule.rule_id, flow=new.flow, status=JobStatus.QUEUED,
        attempts=0, submitted_at_ms=at_us // 1000, started_at_ms=None, finished_at_ms=None, expires_at_ms=None,
        error_code=None, error_message=None, response_status=None, response_stored=False, position=position,
        eta_s=None if deferral.rule.paused else eta_us / 1e6, waiting_for=deferral.rule.rule_id,
    )  # fmt: skip
    return Enqueued(job, flow_was_empty=position == 1, at_us=at_us)


def read_head(fields: Sequence[Any]) -> FlowHead:
    """A flow as _flows.lua describes it."""
    name, depth, same_cost, costs = fields
    return FlowHead(name.decode(), depth, same_cost, costs.decode())


def read_taken(fields: Sequence[Any], token: str, now_s: float, at_us: int) -> TakenFlow | TakenRing:
    """A unit as take.lua returns it: a flow is {late_us, flow}, a ring {name, late_us, flows in it, flow...}."""
    if isinstance(fields[0], int):
        late_us, head = fields
        return TakenFlow(read_head(head), token, now_s - late_us / 1e6, at_us)
    name, late_us, size, *heads = fields
    return TakenRing(name.decode(), token, now_s - late_us / 1e6, at_us, size, tuple(map(read_head, heads)))


def settle_arguments(settlement: Settlement) -> list[Argument]:
    """One job's arguments of settle.lua."""
    job, response = settlement.job, settlement.response
    answer: tuple[Argument, ...] = ("", "0", b"")
    if response is not None:
        answer = (response.status, int(response.body is not None), encode_response(response))
    return [job.id, job.lease, settlement.status.value, settlement.code, settlement.message, *answer]


def fingerprint(request: StoredRequest) -> str:
    """What must be the same if an idempotency key is used again."""
    content_type = next((value for name, value in request.headers if name.lower() == b"content-type"), b"")
    digest = sha256()
    for part in (request.method.encode(), request.target, content_type, request.body):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:32]
