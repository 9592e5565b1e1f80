"""Expiry: ends jobs that have waited longer than `max_wait_seconds`, in flows that are paused or held too."""

import asyncio

import structlog

from app.errors import QueueUnavailable
from app.queue.flows import Flows
from app.settings import Settings
from consumers.metrics import WorkerMetrics

log = structlog.get_logger()

POLL_INTERVAL_S = 1.0


async def expire_periodically(flows: Flows, settings: Settings, metrics: WorkerMetrics) -> None:
    """End the expired jobs of every partition each second; runs until cancelled."""
    while True:
        for partition in range(settings.queue_partitions):
            try:
                expired = await flows.expire(partition)
                metrics.expired.inc(expired)
                if expired:
                    log.info("dead_letters", partition=partition, code="expired", jobs=expired)
            except QueueUnavailable as error:
                log.warning("expiry_failed", partition=partition, error=str(error))
        await asyncio.sleep(POLL_INTERVAL_S)
