"""The metrics of a worker."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from app.limiter.corrections import corrections_dropped
from app.process.histogram import Histogram
from consumers.retry import OUTCOMES, Outcome

SEND_DELAY_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5)


class WorkerMetrics(Collector):
    """A worker's metrics, registered in its process's registry.

    What changes with every job is a plain number that `collect` reads, because the library's counters take a lock.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.attempts: dict[type[Outcome], int] = dict.fromkeys(OUTCOMES, 0)
        self.send_delay_s = Histogram(SEND_DELAY_BUCKETS_S)
        self.missed_slots = Counter(
            "penstock_missed_slots_total",
            "Jobs that returned to their flow because their slot was missed.",
            registry=registry,
        )
        self.lost_leases = Counter(
            "penstock_lost_leases_total", "Outcomes dropped because the job's lease was lost.", registry=registry
        )
        self.reclaimed = Counter(
            "penstock_reclaimed_total",
            "Jobs of workers that vanished, by where the jobs went.",
            ["to"],
            registry=registry,
        )
        self.expired = Counter(
            "penstock_expired_total",
            "Jobs that ended because they had waited longer than max_wait_seconds.",
            registry=registry,
        )
        self.answer_breaker_open = Gauge(
            "penstock_answer_breaker_open",
            "1 while this worker sends only probes, because most flows were answered 429, 502, 503 or 504.",
            registry=registry,
        )
        self.corrections_dropped = corrections_dropped(registry)
        self.in_flight = Gauge("penstock_in_flight", "Jobs that are leased and have no outcome yet.", registry=registry)
        registry.register(self)

    def attempts_by_outcome(self) -> dict[str, int]:
        """How many attempts to send a job had each outcome."""
        return {kind.__name__.lower(): count for kind, count in self.attempts.items()}

    def collect(self) -> Iterable[CounterMetricFamily | HistogramMetricFamily]:
        """Called by prometheus_client on each scrape."""
        attempts = CounterMetricFamily("penstock_attempts", "Attempts to send a job, by outcome.", labels=["outcome"])
        for outcome, count in self.attempts_by_outcome().items():
            attempts.add_metric([outcome], count)
        yield attempts
        yield self.send_delay_s.family(
            "penstock_send_delay_seconds", "Delay from a job's slot until its request was sent."
        )
