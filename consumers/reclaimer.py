"""Reclaiming: jobs whose worker went away return to their flows, or end as dead letters at their last attempt."""

import asyncio

import structlog

from app.errors import QueueUnavailable
from app.queue.flows import Flows
from app.settings import Settings
from consumers.metrics import WorkerMetrics

log = structlog.get_logger()


async def reclaim_periodically(flows: Flows, settings: Settings, metrics: WorkerMetrics, consumer: str) -> None:
    """Scan every partition every `reclaim_interval_s`; runs until cancelled."""
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
