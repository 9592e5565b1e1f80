"""Counts, replays and discards the dead letters that a filter finds, the oldest first, in batches."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.queue import keys
from app.queue.batches import Batch, BatchResult, Count
from app.queue.dead_letter_filter import DeadLetterFilter, DeadLetterPlace
from app.queue.flow_parameters import flow_arguments
from app.redis_wire.scripts import Argument, Scripts
from app.rules.active import ActiveRule
from app.settings import Settings

LOOK = 100
"""How many dead letters, whether or not the filter finds them, one call of a script looks at."""

MAX_COUNTED = 20_000
"""How many dead letters a count looks at."""

MAX_BATCH = 50
"""How many dead letters one batch may replay or discard."""

RulesById = Mapping[str, ActiveRule | None]
"""Rules in force by their ids; None for one that is not in force."""


class DeadLetterBatches:
    """Every method raises QueueUnavailable where the queue Redis cannot be reached."""

    def __init__(self, scripts: Scripts, settings: Settings) -> None:
        self._scripts = scripts
        self._partitions = settings.queue_partitions

    async def count(self, wanted: DeadLetterFilter, look_at: int = MAX_COUNTED) -> Count:
        """Count dead letters that a filter finds, among the oldest `look_at` of the times that it names."""
        now_us = candidates = looked_at = found = 0
        is_exact, place = True, DeadLetterPlace()
        while place.partition < self._partitions:
            look = min(LOOK, look_at - looked_at)
            arguments = [*wanted.arguments(), place.failed_us, place.job_id, look]
            reply = await self._scripts.call("count_dead_letters", [keys.prefix(place.partition)], arguments)
            at_us, of_these_times, looked, wanted_ones, more, failed_us, job_id = reply
            now_us = now_us or int(at_us)
            candidates += 0 if place.job_id else of_these_times
            looked_at, found = looked_at + looked, found + wanted_ones
            is_exact = is_exact and (look > 0 or of_these_times == 0)
            place = place.behind(failed_us, job_id) if more and look > 0 else place.next_partition
        estimate = found if is_exact else round(found * candidates / max(1, looked_at))
        return Count(now_us, candidates, looked_at, found, is_exact, estimate)

    async def replay(
        self, wanted: DeadLetterFilter, until_us: int, place: DeadLetterPlace, batch: Batch, rules: RulesById
    ) -> BatchResult | None:
        """Replay those that failed until `until_us` (Unix microseconds) and whose rules are among these.

        Returns None if a later batch of the operation has been done.
        """
        in_force = [[rule_id, *flow_arguments(rule)] for rule_id, rule in rules.items() if rule is not None]
        missing: list[Argument] = [rule_id for rule_id, rule in rules.items() if rule is None]
        more = [len(in_force), *(argument for rule in in_force for argument in rule), *missing]
        return await self._call("replay_dead_letters", wanted, until_us, place, batch, more)

    async def discard(
        self, wanted: DeadLetterFilter, until_us: int, place: DeadLetterPlace, batch: Batch
    ) -> BatchResult | None:
        """Discard those that failed until `until_us`. Returns None if a later batch of the operation has been done."""
        return await self._call("delete_dead_letters", wanted, until_us, place, batch)

    async def _call(
        self,
        script: str,
        wanted: DeadLetterFilter,
        until_us: int,
        place: DeadLetterPlace,
        batch: Batch,
        more: Sequence[Argument] = (),
    ) -> BatchResult | None:
        look = LOOK if batch.limit else 0
        arguments = [*wanted.arguments(until_us), place.failed_us, place.job_id, look, batch.limit, *batch.arguments]
        reply = await self._scripts.call(script, [keys.prefix(place.partition)], [*arguments, *more])
        return None if reply[0] != batch.number else self._result(place, reply)

    def _result(self, place: DeadLetterPlace, reply: Sequence[Any]) -> BatchResult:
        _, done, skipped, looked_at, has_more, failed_us, job_id, needs, *problems = reply
        following = place.behind(failed_us, job_id) if has_more else place.next_partition
        return BatchResult(
            done,
            skipped,
            looked_at,
            str(following) if following.partition < self._partitions else None,
            {one.decode(): why.decode() for one, why in zip(problems[::2], problems[1::2], strict=True)},
            needs.decode(),
        )
