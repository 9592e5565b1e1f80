"""Counts and cancels the jobs of a rule that wait to be sent, in batches."""

from app.queue import keys
from app.queue.batches import Batch, BatchResult, Count
from app.queue.operations import PurgePlace
from app.redis_wire.scripts import Argument, Scripts
from app.settings import Settings

LOOK = 100
"""How many jobs that back off, of whichever rules, one call of the script looks at."""

MAX_COUNT_CALLS = 200
"""How many pages a count looks at; a page has ten flows, or as many jobs that back off as `LOOK`."""


class JobPurge:
    """Methods raise QueueUnavailable where the queue Redis cannot be reached. Jobs that are being sent stay."""

    def __init__(self, scripts: Scripts, settings: Settings) -> None:
        self._scripts = scripts
        self._partitions = settings.queue_partitions

    async def purge(self, rule_id: str, until_ms: int, place: PurgePlace, batch: Batch) -> BatchResult | None:
        """Cancel jobs of a rule that were submitted until `until_ms`.

        Returns None if a later batch of the operation has been done.
        """
        arguments: list[Argument] = [rule_id, place.where, place.cursor, batch.limit, until_ms, *batch.arguments]
        reply = await self._scripts.call("purge", [keys.prefix(place.partition)], arguments)
        number, cursor, canceled, more = reply
        if number != batch.number:
            return None
        following = place.at(cursor) if more else place.following
        return BatchResult(canceled, 0, canceled, str(following) if following.partition < self._partitions else None)

    async def count(self, rule_id: str) -> Count:
        """Count the jobs of a rule that wait, by a bounded look."""
        now_us = found = estimate = 0
        place, there, looked, found_there = PurgePlace(), 0, 0, 0
        for _ in range(MAX_COUNT_CALLS):
            if place.partition == self._partitions:
                break
            arguments: list[Argument] = [rule_id, place.where, place.cursor, LOOK]
            reply = await self._scripts.call("count_waiting", [keys.prefix(place.partition)], arguments)
            at_us, there, looked_now, found_now, cursor = reply
            now_us, found = now_us or int(at_us), found + found_now
            looked, found_there = looked + looked_now, found_there + found_now
            if cursor == b"0":
                estimate, place, looked, found_there = estimate + found_there, place.following, 0, 0
            else:
                place = place.at(cursor)
        is_exact = place.partition == self._partitions
        estimate += 0 if is_exact else round(found_there * there / max(1, looked))
        return Count(now_us, estimate, found, found, is_exact, estimate)
