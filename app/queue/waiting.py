"""Why a job waits: decided from what the queue knows of it and of its flow."""

from dataclasses import dataclass
from enum import StrEnum

from app.jobs.model import JobStatus
from app.queue.job_details import JobDetails, WaitingFlow

OVERDUE_US = 2_000_000
"""By how much a flow may be late before that is the reason: workers take what is due within milliseconds."""


class WaitReason(StrEnum):
    """What a job waits for."""

    IN_FLIGHT = "in_flight"
    BACKING_OFF = "backing_off"
    PAUSED = "paused"
    HELD = "held"
    OVERDUE = "overdue"
    TAKING_TURNS = "taking_turns"
    RATE = "rate"


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a job waits. `until_ms`: when the reason ends, in Unix milliseconds; None where that is not known."""

    reason: WaitReason
    detail: str
    until_ms: int | None = None


def why_waiting(details: JobDetails) -> Explanation | None:
    """Decide why a job waits; None for one that is final."""
    job, flow = details.job, details.flow
    if flow is None:
        return None
    if job.status is JobStatus.RUNNING:
        worker = details.attempts[-1].worker
        return Explanation(
            WaitReason.IN_FLIGHT, f"The worker {worker} has it: the request was sent, or is about to be."
        )
    if job.position is None:
        until_ms = None if job.eta_s is None else details.now_us // 1000 + int(job.eta_s * 1000)
        reason = "its last attempt failed" if not details.attempts else _failure_of(details)
        return Explanation(
            WaitReason.BACKING_OFF, f"It backs off, because {reason}; then it returns to its flow.", until_ms
        )
    return _wait_of_flow(details, flow)


def _failure_of(details: JobDetails) -> str:
    last = details.attempts[-1]
    answered = f" (the app server answered {last.response_status})" if last.response_status is not None else ""
    return f"attempt {last.number} failed with {last.code}{answered}"


def _wait_of_flow(details: JobDetails, flow: WaitingFlow) -> Explanation:
    job, now_us = details.job, details.now_us
    if flow.paused:
        what = "Its flow" if flow.paused_by_itself else f"The rule {job.rule_id}"
        return Explanation(WaitReason.PAUSED, f"{what} is paused.")
    if flow.held_until_us is not None and flow.held_until_us > now_us:
        detail = f"The app server takes no more of the flow for now: {flow.hold_code}."
        return Explanation(WaitReason.HELD, detail, flow.held_until_us // 1000)
    ahead = _ahead((job.position or 1) - 1)
    is_leased = flow.leased_until_us is not None and flow.leased_until_us > now_us
    if flow.due_us is not None and not is_leased and now_us - flow.due_us > OVERDUE_US:
        late_s = (now_us - flow.due_us) // 1_000_000
        detail = (
            f"No worker has taken its flow for {late_s} s: do workers run, and do they reach the app servers? {ahead}"
        )
        return Explanation(WaitReason.OVERDUE, detail)
    if flow.ring is not None:
        others = (flow.ring_flows or 1) - 1
        flows = "one other flow that waits" if others == 1 else f"{others} other flows that wait"
        detail = f"Its flow takes turns with {flows} for the counter {flow.ring}. {ahead}"
        return Explanation(WaitReason.TAKING_TURNS, detail)
    return Explanation(WaitReason.RATE, f"It waits for the rate that the rule {job.waiting_for} permits. {ahead}")


def _ahead(jobs: int) -> str:
    if jobs == 0:
        return "It is the next job of its flow."
    return "One job of its flow is ahead of it." if jobs == 1 else f"{jobs} jobs of its flow are ahead of it."
