"""The metrics of an edge."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from app.edge.rule_decisions import DecisionsByRule
from app.errors import Blocked, ClientGone, PenstockError, Unavailable
from app.limiter.corrections import corrections_dropped
from app.process.histogram import Histogram
from app.process.unavailability import TroubleLog, Unavailability

DECIDED_WITHIN_S = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.5)


class EdgeMetrics(Collector):
    """An edge's metrics in the registry of its process; label values are few and fixed.

    What every request changes is a plain number, which is read at a scrape, because the library's counters take a lock.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.forwarded = self.rejected = self.deferred = self.blocked = self.client_gone = 0
        self.denied_from_memory = 0
        self.by_rule = DecisionsByRule()
        self.decided_in_s = Histogram(DECIDED_WITHIN_S)
        self.refusals = Counter(
            "penstock_refusals_total",
            "Requests refused for a reason other than a limit, by status.",
            ["status"],
            registry=registry,
        )
        self.upstream_errors = Counter(
            "penstock_upstream_errors_total",
            "Requests to which no app server responded, by kind of error.",
            ["kind"],
            registry=registry,
        )
        self.without_counters = Counter(
            "penstock_without_counters_total",
            "Requests decided while the counters, or the rules, could not be reached, by reason.",
            ["reason"],
            registry=registry,
        )
        self.corrections_dropped = corrections_dropped(registry)
        self._trouble = TroubleLog()
        self._unavailability = Unavailability(registry, self._trouble)
        self.shadow_refusals = Counter(
            "penstock_shadow_refusals_total",
            "Requests that a shadow rule would have refused, by rule.",
            ["rule_id"],
            registry=registry,
        )
        registry.register(self)

    def refused(self, error: PenstockError) -> None:
        """Count a request that was refused for a reason other than a limit, or blocked, or whose client has gone."""
        if isinstance(error, ClientGone):
            self.client_gone += 1
            return
        if isinstance(error, Blocked):
            self.blocked += 1
            return
        self.refusals.labels(str(int(error.status))).inc()
        self._unavailability.refused(error)

    def decided_without(self, error: Unavailable) -> None:
        """Count and log a decision that was made without the counters, or without the rules."""
        self.without_counters.labels(error.reason).inc()
        self._trouble.warn("decided_without_counters", error)

    def decisions(self) -> dict[str, int]:
        """How many requests had each decision."""
        return {
            "forward": self.forwarded,
            "reject": self.rejected,
            "defer": self.deferred,
            "block": self.blocked,
        }

    def collect(self) -> Iterable[CounterMetricFamily | HistogramMetricFamily]:
        """Called by prometheus_client at a scrape."""
        decisions = CounterMetricFamily("penstock_requests", "Requests by decision.", labels=["decision"])
        for decision, count in self.decisions().items():
            decisions.add_metric([decision], count)
        decisions.add_metric(["client_gone"], self.client_gone)
        yield decisions
        yield self.by_rule.family()
        yield CounterMetricFamily(
            "penstock_denied_from_memory",
            "Requests refused from the denial cache, without asking the counters.",
            value=self.denied_from_memory,
        )
        yield self.decided_in_s.family("penstock_decision_seconds", "How long decisions by the counters took.")
