"""Which places among the requests in flight the jobs of a worker have: from their slots until they have ended."""

from collections.abc import Sequence

from app.limiter.places import Places
from app.queue.model import LeasedJob
from consumers.slots import Grant


class JobPlaces:
    """Gives each leased job the place of one of its flow's slots, and gives it back when the job has ended."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._of_job: dict[str, tuple[tuple[str, ...], str]] = {}

    def assign(self, grant: Grant, jobs: Sequence[LeasedJob]) -> None:
        """The jobs that were leased for the slots of a grant have their places; those of other slots are given back."""
        for number, place in enumerate(grant.places):
            if number < len(jobs):
                self.end(jobs[number])
                self._of_job[jobs[number].id] = (grant.place_counters, place)
            else:
                self._places.give_back(grant.place_counters, place)

    def end(self, job: LeasedJob) -> None:
        """A job has an outcome, or was not sent."""
        held = self._of_job.pop(job.id, None)
        if held is not None:
            self._places.give_back(*held)
