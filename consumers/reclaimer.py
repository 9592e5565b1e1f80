"""Reclaiming: jobs whose worker vanished return to their flows, or become dead letters after their last attempt."""

import asyncio

import structlog

from app.errors import QueueUnavailable
from app.queue.flows import Flows
from app.settings import Settings
from consumers.metrics import WorkerMetrics

log = structlog.get_logger()


async def reclaim_periodically(flows: Flows, settings: Settings, metrics: WorkerMetrics, consumer: str) -> None:
    """Reclaim jobs of every partition each `reclaim_interval_s`; runs until cancelled."""
    while True:
        for partition in range(settings.queue_partitions):
            try:
                returned, dead = await flows.reclaim(partition, consumer, settings.lease_s)
            except QueueUnavailable as error:
                log.warning("reclaim_failed", partition=partition, error=str(error))
                continue
            if returned or dead:
                log.info("reclaimed", partition=partition, returned=returned, dead=dead)
            metrics.reclaimed.labels("flow").inc(returned)
            metrics.reclaimed.labels("dead_letter").inc(dead)
        await asyncio.sleep(settings.reclaim_interval_s)
