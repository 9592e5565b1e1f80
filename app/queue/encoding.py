"""How jobs and flows are written for the scripts, and their answers read."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from app.jobs.model import Job, JobStatus, StoredRequest, encode_response
from app.queue import keys
from app.queue.flow_parameters import FLOW_PARAMETERS, flow_parameters
from app.queue.model import Deferral, FrozenCharge, Settlement
from app.redis_wire.resp import bulks
from app.redis_wire.scripts import Argument, Script

_ENQUEUE_OWN, _ENQUEUE_CAPS = 8, 4


def encode_charges(charges: Sequence[FrozenCharge]) -> str:
    """As they stand in a flow's entries; no part holds a separator (app/limiter/keys.py)."""
    return ";".join(f"{charge.rule_id}|{charge.descriptor}|{charge.cost}" for charge in charges)


def decode_charges(text: str) -> tuple[FrozenCharge, ...]:
    """The inverse of `encode_charges`."""
    parts = (charge.split("|") for charge in text.split(";"))
    return tuple(FrozenCharge(rule_id, descriptor, int(cost)) for rule_id, descriptor, cost in parts)


def enqueue_caps(most_jobs: int, most_bytes: int, most_memory: float, *, by_kafka: bool) -> bytes:
    """ARGV 9 to 12 of enqueue.lua."""
    return bulks((most_jobs, most_bytes, most_memory, int(by_kafka)))


def enqueue_call(
    script: Script, prefix: str, job_id: str, flow: str, deferral: Deferral, stored: bytes, caps: bytes
) -> bytes:
    """A call of enqueue.lua; `stored` is the encoded request. What is the same for every job is bytes already."""
    key, request = deferral.idempotency_key, deferral.request
    own = (
        prefix, job_id, flow, deferral.owner or "-", encode_charges(deferral.charges), stored, deferral.due_in_us,
        "" if key is None else keys.idempotency_name(deferral.owner, key), fingerprint(request) if key else "",
    )  # fmt: skip
    head = script.head(1, _ENQUEUE_OWN + _ENQUEUE_CAPS + FLOW_PARAMETERS)
    return b"".join((head, bulks(own), caps, flow_parameters(deferral.rule)))


def queued(job_id: str, deferral: Deferral, answer: list[Any]) -> Job:
    """The job as enqueue.lua answered it."""
    return Job(
        id=job_id, owner=deferral.owner, rule_id=deferral.rule.rule_id, status=JobStatus.QUEUED, attempts=0,
        submitted_at_ms=int(answer[4]), started_at_ms=None, finished_at_ms=None, expires_at_ms=None, error_code=None,
        error_message=None, response_status=None, response_stored=False, position=answer[1],
        eta_s=None if deferral.rule.paused else int(answer[3]) / 1e6,
    )  # fmt: skip


def settle_arguments(settlement: Settlement) -> list[Argument]:
    """One job's part of the ARGV of settle.lua."""
    job, response = settlement.job, settlement.response
    answer, stored = "", b""
    if response is not None:
        answer, stored = f"{response.status} {int(response.body is not None)}", encode_response(response)
    return [job.id, job.lease, settlement.status.value, settlement.code, settlement.message, answer, stored]


def fingerprint(request: StoredRequest) -> str:
    """What must be the same where an idempotency key is used again."""
    content_type = next((value for name, value in request.headers if name.lower() == b"content-type"), b"")
    digest = sha256()
    for part in (request.method.encode(), request.target, content_type, request.body):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:32]
