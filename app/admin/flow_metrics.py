"""Metrics of what waits, by rule: from the overview of all flows, so a scrape costs the stores nothing."""

import time
from collections.abc import Iterable, Mapping
from typing import Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from app.admin.services.flow_index import RuleTotals


class Overview(Protocol):
    """Where the numbers come from: the overview of all flows."""

    @property
    def totals(self) -> Mapping[str, RuleTotals]:
        """What the flows of each rule have together."""

    @property
    def as_of_s(self) -> float:
        """When they were looked at, in Unix seconds; 0 before that."""


class FlowMetrics(Collector):
    """Depth, jobs by status, and oldest age by rule, in the registry of the admin process."""

    def __init__(self, registry: CollectorRegistry, overview: Overview) -> None:
        self._overview = overview
        registry.register(self)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Called by prometheus_client on each scrape."""
        flows = GaugeMetricFamily("penstock_flows", "Flows with jobs, by rule.", labels=["rule_id"])
        depth = GaugeMetricFamily("penstock_queue_depth", "Jobs that are not final, by rule.", labels=["rule_id"])
        jobs = GaugeMetricFamily(
            "penstock_queue_jobs",
            "Jobs that are not final, by rule and status: queued (waits), running (in flight), retrying (backs off).",
            labels=["rule_id", "status"],
        )
        oldest = GaugeMetricFamily(
            "penstock_queue_oldest_age_seconds",
            "How long ago the first waiting job of a rule was accepted; 0 where none waits.",
            labels=["rule_id"],
        )
        now_s = time.time()
        for rule_id, totals in self._overview.totals.items():
            flows.add_metric([rule_id], totals.flows)
            depth.add_metric([rule_id], totals.waiting + totals.in_flight + totals.backing_off)
            jobs.add_metric([rule_id, "queued"], totals.waiting)
            jobs.add_metric([rule_id, "running"], totals.in_flight)
            jobs.add_metric([rule_id, "retrying"], totals.backing_off)
            age_s = 0.0 if totals.oldest_ms is None else max(0.0, now_s - totals.oldest_ms / 1000)
            oldest.add_metric([rule_id], age_s)
        yield from (flows, depth, jobs, oldest)
        yield GaugeMetricFamily(
            "penstock_queue_seen_at_seconds",
            "When the admin process looked at all flows for these numbers, in Unix seconds; 0: not yet.",
            value=self._overview.as_of_s,
        )
