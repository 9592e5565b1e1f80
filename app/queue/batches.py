"""Long work on very many jobs, in batches: each is done once, however often it is asked for and by whom."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from app.redis_wire.scripts import Argument


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch of an operation, by its number from 1. `limit`: how many jobs it changes at most.

    A batch with the limit 0 changes nothing, and no other batch with its number does afterwards.
    """

    operation_id: str
    number: int
    limit: int

    @property
    def arguments(self) -> list[Argument]:
        """The last arguments of each script that does a batch (app/queue/lua/_batches.lua)."""
        return [self.operation_id, self.number]


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What a batch has done.

    `skipped` counts jobs that were gone already, and `problems` says for each job that could not be changed why not.
    `next` is the cursor to go on with; None: nothing is left. `needs` is the id of a rule without which the next batch
    does nothing.
    """

    done: int
    skipped: int
    looked_at: int
    next: str | None
    problems: Mapping[str, str] = field(default_factory=dict)
    needs: str = ""

    @property
    def touched(self) -> int:
        """How many jobs count against the rate."""
        return self.done + len(self.problems)


@dataclass(frozen=True, slots=True)
class Count:
    """How many jobs a filter finds among those that were looked at, of `candidates` that there are to look at.

    `estimate` is how many it finds among all, if the others are like those that were looked at. `now_us` is the time of
    the queue Redis at which the counting began.
    """

    now_us: int
    candidates: int
    looked_at: int
    found: int
    is_exact: bool
    estimate: int
