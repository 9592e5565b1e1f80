"""What a worker counts."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from app.process.histogram import Histogram
from consumers.retry import OUTCOMES, Outcome

SENT_WITHIN_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5)


class WorkerMetrics(Collector):
    """A worker's metrics, in its process's registry.

    What every job changes is a plain number here, read when someone asks: the library's counters take a lock.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.attempts: dict[type[Outcome], int] = dict.fromkeys(OUTCOMES, 0)
        self.send_delay_s = Histogram(SENT_WITHIN_S)
        self.missed_slots = Counter(
            "penstock_missed_slots_total", "Jobs that went back because their slot had passed.", registry=registry
        )
        self.lost_leases = Counter(
            "penstock_lost_leases_total", "Outcomes dropped because someone else had the job.", registry=registry
        )
        self.reclaimed = Counter(
            "penstock_reclaimed_total",
            "Jobs of workers that went away, by what became of them.",
            ["to"],
            registry=registry,
        )
        self.expired = Counter(
            "penstock_expired_total", "Jobs that ended because they had waited for too long.", registry=registry
        )
        self.intake = Counter(
            "penstock_intake_total",
            "Messages read from Kafka by outcome: resident, spilled, skipped, refused.",
            ["outcome"],
            registry=registry,
        )
        self.loaded = Counter(
            "penstock_loaded_total", "Requests fetched from Kafka that had been left spilled.", registry=registry
        )
        self.swept = Counter(
            "penstock_swept_total", "Jobs canceled because their edge died before their message.", registry=registry
        )
        self.in_flight = Gauge("penstock_in_flight", "Jobs leased and not yet over.", registry=registry)
        registry.register(self)

    def collect(self) -> Iterable[CounterMetricFamily | HistogramMetricFamily]:
        """prometheus_client's."""
        attempts = CounterMetricFamily("penstock_attempts", "Attempts to send a job, by outcome.", labels=["outcome"])
        for kind, count in self.attempts.items():
            attempts.add_metric([kind.__name__.lower()], count)
        yield attempts
        yield self.send_delay_s.family(
            "penstock_send_delay_seconds", "From a job's slot to its request being on its way."
        )
