"""Which jobs an operator looks for."""

from dataclasses import dataclass

from app.jobs.model import Job, JobStatus
from app.queue.flow_name import names_descriptor

FINAL = frozenset(status for status in JobStatus if status.final)
WAITING = frozenset(JobStatus) - FINAL


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Criteria that a job must all meet; None stands for any. Times are Unix milliseconds, and both ends count.

    `descriptor` is met where any rule that the job is charged for counts it, or where it is the caller's. An app
    server's `response_status` and a time of finishing are those of final jobs only.
    """

    rule_id: str | None = None
    descriptor: str | None = None
    flow: str | None = None
    owner: str | None = None
    statuses: frozenset[JobStatus] = frozenset(JobStatus)
    response_status: int | None = None
    submitted_from_ms: int | None = None
    submitted_to_ms: int | None = None
    finished_from_ms: int | None = None
    finished_to_ms: int | None = None

    @property
    def final(self) -> frozenset[JobStatus]:
        """The statuses wanted of jobs that have ended."""
        return self.statuses & FINAL

    @property
    def waiting(self) -> frozenset[JobStatus]:
        """The statuses wanted of jobs that have not ended."""
        ended = (self.response_status, self.finished_from_ms, self.finished_to_ms)
        return self.statuses & WAITING if ended == (None, None, None) else frozenset()

    def matches(self, job: Job) -> bool:
        """Whether a job meets all criteria."""
        return (
            job.status in self.statuses
            and self.rule_id in {None, job.rule_id}
            and self.flow in {None, job.flow}
            and self.owner in {None, job.owner}
            and self.response_status in {None, job.response_status}
            and (self.descriptor is None or names_descriptor(job.flow, self.descriptor))
            and _is_within(job.submitted_at_ms, self.submitted_from_ms, self.submitted_to_ms)
            and _is_within(job.finished_at_ms, self.finished_from_ms, self.finished_to_ms)
        )


def _is_within(time_ms: int | None, from_ms: int | None, to_ms: int | None) -> bool:
    if time_ms is None:
        return from_ms is None and to_ms is None
    return (from_ms is None or time_ms >= from_ms) and (to_ms is None or time_ms <= to_ms)
