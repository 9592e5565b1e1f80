"""What becomes of leased jobs: they return unsent, end, back off, or are held; their leases last."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from app.jobs.model import partition_of_job
from app.queue import keys
from app.queue.encoding import settle_arguments
from app.queue.model import LeasedJob, Settlement
from app.redis_wire.scripts import Argument, Scripts
from app.settings import Settings

MAX_RELEASED_AT_ONCE = 100
MAX_EXTENDED_AT_ONCE = 100


class FlowOutcomes:
    """What workers say of jobs that they have leased. Every method raises QueueUnavailable."""

    def __init__(self, scripts: Scripts, settings: Settings) -> None:
        self._scripts = scripts
        self._partitions = settings.queue_partitions

    async def release(self, jobs: Sequence[LeasedJob]) -> None:
        """Return jobs that were not sent to their places in their flows; their attempts do not count."""
        for partition, group in groupby(jobs, key=lambda job: partition_of_job(job.id)):
            arguments = [argument for job in group for argument in (job.id, job.lease)]
            for at in range(0, len(arguments), 2 * MAX_RELEASED_AT_ONCE):
                await self._call("release", partition, arguments[at : at + 2 * MAX_RELEASED_AT_ONCE])

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        """Store final outcomes of one partition's jobs; False where someone else holds the job meanwhile."""
        arguments = [argument for settlement in settlements for argument in settle_arguments(settlement)]
        answer = await self._call("settle", partition_of_job(settlements[0].job.id), arguments)
        return [stored == 1 for stored in answer]

    async def retry(
        self,
        job: LeasedJob,
        delay_s: float,
        code: str,
        message: str,
        *,
        give_back: bool,
        took_ms: int | None = None,
        answer: int | None = None,
    ) -> bool:
        """Let a job back off; `give_back`: this attempt does not count. False if the lease is lost.

        `took_ms`: how long the request took, `answer`: the app server's status, for the job's timeline.
        """
        arguments: list[Argument] = [job.id, job.lease, int(delay_s * 1e6), int(give_back), code, message]
        arguments += _attempt_arguments(took_ms, answer)
        return bool(await self._call("retry", partition_of_job(job.id), arguments))

    async def hold(
        self,
        job: LeasedJob,
        base_delay_s: float,
        max_delay_s: float,
        retry_after_s: float,
        code: str,
        message: str,
        *,
        took_ms: int | None = None,
        answer: int | None = None,
    ) -> bool:
        """Return a job to its place and hold its flow: its app server takes no more for now.

        The first hold lasts for `base_delay_s`, each one in a row twice as long, up to `max_delay_s`; never shorter
        than `retry_after_s`, never beyond the time that the job may wait. False if the lease is lost. `took_ms` and
        `answer` are as for `retry`.
        """
        delays = [int(delay_s * 1e6) for delay_s in (base_delay_s, max_delay_s, retry_after_s)]
        arguments: list[Argument] = [job.id, job.lease, *delays, code, message, *_attempt_arguments(took_ms, answer)]
        return bool(await self._call("hold", partition_of_job(job.id), arguments))

    async def extend(self, jobs: Sequence[LeasedJob], consumer: str) -> None:
        """Keep the leases of jobs that take long. Without any it makes sure that the queue answers."""
        by_partition: dict[int, list[LeasedJob]] = {} if jobs else {0: []}
        for job in jobs:
            by_partition.setdefault(partition_of_job(job.id), []).append(job)
        for partition, of_partition in by_partition.items():
            for first in range(0, max(1, len(of_partition)), MAX_EXTENDED_AT_ONCE):
                some = of_partition[first : first + MAX_EXTENDED_AT_ONCE]
                pairs = [argument for job in some for argument in (job.id, job.lease)]
                await self._call("extend", partition, [consumer, *pairs])

    async def _call(self, name: str, partition: int, arguments: Sequence[Argument]) -> Any:  # noqa: ANN401
        return await self._scripts.call(name, [keys.prefix(partition)], arguments)


def _attempt_arguments(took_ms: int | None, answer: int | None) -> tuple[Argument, Argument]:
    return "" if took_ms is None else took_ms, "" if answer is None else answer
