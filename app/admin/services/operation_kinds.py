"""What operations can do: how each kind counts what a filter finds, and how it does one batch."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from app.admin.services.dead_letters import required_rule
from app.admin.services.job_cancellation import JobCancellation
from app.admin.services.operations_model import KindName, Operation, WaitingJobsFilter
from app.queue.batches import Batch, BatchResult, Count
from app.queue.dead_letter_batches import MAX_BATCH, DeadLetterBatches
from app.queue.dead_letter_filter import DeadLetterFilter, DeadLetterPlace
from app.queue.job_purge import JobPurge
from app.queue.operations import PurgePlace
from app.rules.cache import RuleCache

MAX_PURGED = 50
"""How many jobs one batch cancels."""


class OperationKind(Protocol):
    """One kind of operations. Methods raise Unavailable without the stores that they need."""

    max_batch: int

    async def check(self, wanted: Any) -> None:  # noqa: ANN401 - each kind has a filter of its own
        """Raise Conflict if nothing that the filter finds can be touched."""

    async def count(self, wanted: Any) -> Count:  # noqa: ANN401
        """Count what the filter finds, by a bounded look."""

    async def do(self, operation: Operation, batch: Batch, rule_ids: Sequence[str]) -> BatchResult | None:
        """Do a batch; it is done once, however often it is asked for. None: a later batch has been done.

        `rule_ids` are the rules that the filter names or earlier batches said they need.
        """


Kinds = Mapping[KindName, OperationKind]


class DeadLetterReplay:
    """Queues dead letters again, the oldest first."""

    max_batch = MAX_BATCH

    def __init__(self, batches: DeadLetterBatches, rules_in_force: RuleCache) -> None:
        self._batches = batches
        self._rules = rules_in_force

    async def check(self, wanted: DeadLetterFilter) -> None:
        """Raise Conflict if the filter names a rule that is not in force."""
        if wanted.rule_id is not None:
            required_rule(wanted.rule_id, await self._rules.by_id(wanted.rule_id))

    async def count(self, wanted: DeadLetterFilter) -> Count:
        """Implements OperationKind."""
        return await self._batches.count(wanted)

    async def do(self, operation: Operation, batch: Batch, rule_ids: Sequence[str]) -> BatchResult | None:
        """Implements OperationKind."""
        wanted, place = _dead_letters_of(operation)
        rules = {
            rule_id: await self._rules.by_id(rule_id)
            for rule_id in rule_ids or filter(None, [operation.filter.rule_id])
        }
        return await self._batches.replay(wanted, operation.until_us, place, batch, rules)


class DeadLetterDeletion:
    """Deletes dead letters, the oldest first."""

    max_batch = MAX_BATCH

    def __init__(self, batches: DeadLetterBatches) -> None:
        self._batches = batches

    async def check(self, wanted: DeadLetterFilter) -> None:
        """Implements OperationKind: any dead letter can be deleted."""

    async def count(self, wanted: DeadLetterFilter) -> Count:
        """Implements OperationKind."""
        return await self._batches.count(wanted)

    async def do(self, operation: Operation, batch: Batch, rule_ids: Sequence[str]) -> BatchResult | None:
        """Implements OperationKind."""
        wanted, place = _dead_letters_of(operation)
        return await self._batches.discard(wanted, operation.until_us, place, batch)


class WaitingJobPurge:
    """Cancels the jobs of a rule that wait to be sent."""

    max_batch = MAX_PURGED

    def __init__(self, jobs: JobPurge) -> None:
        self._jobs = jobs

    async def check(self, wanted: WaitingJobsFilter) -> None:
        """Implements OperationKind: the jobs of any rule can be canceled."""

    async def count(self, wanted: WaitingJobsFilter) -> Count:
        """Implements OperationKind."""
        return await self._jobs.count(wanted.rule_id)

    async def do(self, operation: Operation, batch: Batch, rule_ids: Sequence[str]) -> BatchResult | None:
        """Implements OperationKind."""
        assert isinstance(operation.filter, WaitingJobsFilter)
        until_ms, place = operation.until_us // 1000, PurgePlace.parse(operation.cursor)
        return await self._jobs.purge(operation.filter.rule_id, until_ms, place, batch)


def _dead_letters_of(operation: Operation) -> tuple[DeadLetterFilter, DeadLetterPlace]:
    """Which dead letters an operation is about, and where the next batch begins."""
    assert isinstance(operation.filter, DeadLetterFilter)
    return operation.filter, DeadLetterPlace() if operation.cursor is None else DeadLetterPlace.parse(operation.cursor)


def operation_kinds(
    batches: DeadLetterBatches, jobs: JobPurge, cancellation: JobCancellation, rules_in_force: RuleCache
) -> Kinds:
    """Return all kinds by their names."""
    return {
        "replay_dead_letters": DeadLetterReplay(batches, rules_in_force),
        "delete_dead_letters": DeadLetterDeletion(batches),
        "purge_jobs": WaitingJobPurge(jobs),
        "cancel_jobs": cancellation,
    }
