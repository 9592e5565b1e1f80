"""The metrics of the Kafka intake."""

from prometheus_client import CollectorRegistry, Counter


class IntakeMetrics:
    """The counters of one worker's intake, in its process's registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.messages = Counter(
            "penstock_intake_total",
            "Messages read from Kafka, by outcome: resident, spilled, skipped, refused (to the dead-letter topic), "
            "dropped (not even that was possible), undecodable (passed over).",
            ["outcome"],
            registry=registry,
        )
        self.refilled = Counter(
            "penstock_refilled_total",
            "Spilled requests that were fetched from Kafka into their flows.",
            registry=registry,
        )
        self.swept = Counter(
            "penstock_swept_total",
            "Jobs canceled because their edge failed before it produced their message.",
            registry=registry,
        )
