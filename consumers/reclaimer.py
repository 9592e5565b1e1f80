"""Leases of jobs: a worker extends its own, and reclaims those that other workers let end."""

import asyncio
import math
from time import monotonic

import structlog

from app.errors import QueueUnavailable
from app.queue.flows import Flows
from app.settings import Settings
from consumers.delivery import Delivery
from consumers.metrics import WorkerMetrics
from consumers.sender import Sender

log = structlog.get_logger()


class OwnLeases:
    """Extends the leases of the jobs that this worker has in flight, and of those that wait for their slots.

    With a slow disk jobs are leased up to some seconds before their slots, which may be longer than their lease.
    """

    def __init__(self, flows: Flows, delivery: Delivery, sender: Sender, lease_s: float, consumer: str) -> None:
        self._flows = flows
        self._delivery = delivery
        self._sender = sender
        self._lease_s = lease_s
        self._consumer = consumer
        self._extended_at_s = monotonic()
        self._in_time_since_s = -math.inf
        """Since when every extension has succeeded, and in time; infinity: the last one failed."""

    @property
    def may_reclaim(self) -> bool:
        """Whether a lease that has ended shows that its worker is gone.

        After an outage of the queue, or a time in which the machine did not run, the other workers may have had no
        chance to extend their leases. They have had it once this worker has done so in time for as long as one lasts.
        """
        return monotonic() - self._in_time_since_s >= self._lease_s

    async def run(self) -> None:
        """Extend all leases three times in the length of a lease; runs until cancelled."""
        pause_s = self._lease_s / 3
        while True:
            await asyncio.sleep(pause_s)
            try:
                await self._extend()
                pause_s = self._lease_s / 3
            except QueueUnavailable as error:
                pause_s = self._lease_s / 12  # so that it succeeds soon after the queue is back
                log.warning("leases_not_extended", error=str(error))

    async def extend_if_late(self) -> None:
        """Extend all leases if that is overdue, as after a time in which the process did not run.

        A worker does so before it reclaims, so that it never takes its own jobs for those of a worker that went away.
        Raises QueueUnavailable.
        """
        if self._is_late(monotonic()):
            await self._extend()

    async def _extend(self) -> None:
        started_s = monotonic()
        try:
            await self._flows.extend((*self._delivery.in_flight, *self._sender.unsent), self._consumer)
        except QueueUnavailable:
            self._in_time_since_s = math.inf
            raise
        if self._is_late(started_s) or self._in_time_since_s == math.inf:
            self._in_time_since_s = started_s
        self._extended_at_s = started_s

    def _is_late(self, now_s: float) -> bool:
        return now_s - self._extended_at_s > self._lease_s / 2


async def reclaim_periodically(
    flows: Flows, settings: Settings, metrics: WorkerMetrics, own: OwnLeases, consumer: str
) -> None:
    """Reclaim jobs of every partition each `reclaim_interval_s`; runs until cancelled.

    Jobs whose worker went away return to their flows, or become dead letters after their last attempt. While
    workers may have been unable to extend their leases, none is taken for such a job.
    """
    while True:
        for partition in range(settings.queue_partitions):
            try:
                await own.extend_if_late()
                if not own.may_reclaim:
                    continue
                returned, dead = await flows.reclaim(partition, consumer, settings.lease_s)
            except QueueUnavailable as error:
                log.warning("reclaim_failed", partition=partition, error=str(error))
                continue
            if returned or dead:
                log.info("reclaimed", partition=partition, returned=returned, dead=dead)
            metrics.reclaimed.labels("flow").inc(returned)
            metrics.reclaimed.labels("dead_letter").inc(dead)
        await asyncio.sleep(settings.reclaim_interval_s)
