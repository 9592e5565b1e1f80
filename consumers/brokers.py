"""Registers the intakes by the value of `PENSTOCK_QUEUE`; app/queue/brokers.py registers their job queues.

A broker's client is imported only where the settings name the broker.
"""

from collections.abc import Mapping

from app.queue_kind import QueueKind
from consumers.intake import IntakeParts, RunIntake


async def _run_no_intake(_: IntakeParts) -> None:
    """Edges enqueue straight into the flows: a worker has nothing to move."""


async def _run_kafka_intake(parts: IntakeParts) -> None:
    from consumers.kafka.run import run_kafka_intake

    await run_kafka_intake(parts)


INTAKES: Mapping[QueueKind, RunIntake] = {"redis": _run_no_intake, "kafka": _run_kafka_intake}


async def run_intake(parts: IntakeParts) -> None:
    """Move jobs from the broker that the settings name into the flows. Raises StartupError."""
    await INTAKES[parts.settings.queue](parts)
