"""Registers the intakes by the value of `PENSTOCK_QUEUE`; app/queue/brokers.py registers their job queues."""

from collections.abc import Mapping

from app.queue_kind import QueueKind
from consumers.intake import IntakeParts, RunIntake
from consumers.kafka.run import run_kafka_intake


async def _run_no_intake(_: IntakeParts) -> None:
    """Edges enqueue straight into the flows: a worker has nothing to move."""


INTAKES: Mapping[QueueKind, RunIntake] = {"redis": _run_no_intake, "kafka": run_kafka_intake}


async def run_intake(parts: IntakeParts) -> None:
    """Move jobs from the broker that the settings name into the flows. Raises StartupError."""
    await INTAKES[parts.settings.queue](parts)
