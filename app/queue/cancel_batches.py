"""Cancels jobs in batches of long work: each is done once, however often it is asked for."""

from collections.abc import Sequence

from app.jobs.model import partition_of_job
from app.queue import keys
from app.queue.batches import Batch, BatchResult
from app.redis_wire.scripts import Scripts
from app.settings import Settings

MAX_CANCELED = 25
"""How many jobs one batch cancels."""

_END = "-"
"""What a script is told in the place of a cursor where nothing is left."""


class CancelBatches:
    """Methods raise QueueUnavailable where the queue Redis cannot be reached. Jobs that are being sent stay."""

    def __init__(self, scripts: Scripts, settings: Settings) -> None:
        self._scripts = scripts
        self._partitions = settings.queue_partitions

    async def cancel(self, job_ids: Sequence[str], following: str | None, batch: Batch) -> BatchResult | None:
        """Cancel these jobs, after which the next batch begins at `following`. None: a later batch has been done.

        Where a part of the batch was done before, it says where the batch ended: these jobs may be others then.
        """
        partitions = set(map(partition_of_job, job_ids)) if batch.limit else set(range(self._partitions))
        canceled = skipped = 0
        place = following or _END
        for partition in sorted(partitions or {0}):
            here = [job_id for job_id in job_ids if partition_of_job(job_id) == partition]
            arguments = [*batch.arguments, place, *here]
            reply = await self._scripts.call("cancel_batch", [keys.prefix(partition)], arguments)
            number, canceled_here, skipped_here, place_then = reply
            if number != batch.number:
                return None
            canceled, skipped, place = canceled + canceled_here, skipped + skipped_here, place_then.decode()
        return BatchResult(canceled, skipped, canceled + skipped, None if place == _END else place)
