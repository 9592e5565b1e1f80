"""What an edge counts."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from app.errors import ClientGone, PenstockError


class Metrics:
    """An edge's metrics, in its process's registry; label values are few and fixed."""

    def __init__(self, registry: CollectorRegistry) -> None:
        decisions = Counter("penstock_requests_total", "Requests by decision.", ["decision"], registry=registry)
        self.forwarded = decisions.labels("forward")
        self.rejected = decisions.labels("reject")
        self.deferred = decisions.labels("defer")
        self._client_gone = decisions.labels("client_gone")
        self.refusals = Counter(
            "penstock_refusals_total", "Requests refused for another reason, by status.", ["status"], registry=registry
        )
        self.upstream_errors = Counter(
            "penstock_upstream_errors_total", "Requests without an app server's answer.", ["kind"], registry=registry
        )
        self.without_counters = Counter(
            "penstock_without_counters_total", "Requests judged while the counters were away.", registry=registry
        )
        self.denied_from_memory = Counter(
            "penstock_denied_from_memory_total",
            "Requests refused without asking the counters, which had just refused the like.",
            registry=registry,
        )
        self.shadow_refusals = Counter(
            "penstock_shadow_refusals_total",
            "Requests that a shadow rule would have refused, by rule.",
            ["rule_id"],
            registry=registry,
        )
        self.decision_s = Histogram(
            "penstock_decision_seconds",
            "How long the counters took to decide.",
            buckets=(0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.5),
            registry=registry,
        )

    def refused(self, error: PenstockError) -> None:
        """Count what became of a request that no rule decided."""
        if isinstance(error, ClientGone):
            self._client_gone.inc()
        else:
            self.refusals.labels(str(int(error.status))).inc()
