"""A flow as a plain Python list: what waits, in the order of acceptance, and what becomes of each job."""

from dataclasses import dataclass, field

MAX_ATTEMPTS = 2


@dataclass
class ModelJob:
    """One job. `state`: waiting, backing_off or running, then the final status. `is_late`: it has waited too long."""

    number: int
    cost: int
    request_bytes: int
    state: str = "waiting"
    attempts: int = 0
    returned: bool = False
    is_late: bool = False

    @property
    def is_open(self) -> bool:
        return self.state in {"waiting", "backing_off", "running"}

    @property
    def status(self) -> str:
        """The status that a client sees."""
        if self.state == "waiting":
            return "retrying" if self.returned else "queued"
        return "retrying" if self.state == "backing_off" else self.state


@dataclass
class ModelFlow:
    """All jobs that were ever accepted, by id and in the order of acceptance."""

    jobs: dict[str, ModelJob] = field(default_factory=dict)

    def add(self, job_id: str, cost: int, request_bytes: int) -> None:
        self.jobs[job_id] = ModelJob(len(self.jobs), cost, request_bytes)

    def in_state(self, state: str) -> list[str]:
        """Ids in the order of acceptance."""
        return [job_id for job_id, job in self.jobs.items() if job.state == state]

    @property
    def waiting(self) -> list[str]:
        return self.in_state("waiting")

    @property
    def open(self) -> list[ModelJob]:
        return [job for job in self.jobs.values() if job.is_open]

    def same_cost(self) -> int:
        """How many of the next jobs cost the same."""
        costs = [self.jobs[job_id].cost for job_id in self.waiting]
        return next((at for at, cost in enumerate(costs) if cost != costs[0]), len(costs))

    def lease(self, n: int, cost: int) -> list[str]:
        """The next n jobs that cost this much run; those before them that are late end."""
        leased: list[str] = []
        for job_id in self.waiting:
            job = self.jobs[job_id]
            if len(leased) == n or job.cost != cost:
                break
            if job.is_late:
                job.state = "failed"
            else:
                job.state, job.attempts = "running", job.attempts + 1
                leased.append(job_id)
        return leased

    def give_attempt_back(self, job_id: str) -> None:
        """A job returns as if it had not been sent."""
        job = self.jobs[job_id]
        job.state, job.attempts, job.returned = "waiting", job.attempts - 1, job.attempts > 1

    def back_off(self, job_id: str, *, gives_back: bool) -> None:
        job = self.jobs[job_id]
        job.state, job.returned, job.attempts = "backing_off", True, job.attempts - gives_back

    def return_from_backoff(self, job_id: str) -> None:
        self.jobs[job_id].state = "waiting"

    def reclaim(self) -> tuple[int, int]:
        """Every running job returns, or fails at its last attempt: how many of each."""
        running = self.in_state("running")
        for job_id in running:
            job = self.jobs[job_id]
            job.state, job.returned = ("waiting" if job.attempts < MAX_ATTEMPTS else "failed"), True
        dead = sum(self.jobs[job_id].state == "failed" for job_id in running)
        return len(running) - dead, dead

    def expire(self) -> int:
        """Late jobs that wait end: how many."""
        late = [job_id for job_id in self.waiting if self.jobs[job_id].is_late]
        for job_id in late:
            self.jobs[job_id].state = "failed"
        return len(late)
