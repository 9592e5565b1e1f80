"""The metric of the app servers' circuit breakers, for edges and workers."""

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


class BreakerMetrics(Collector):
    """Which breakers are open in this process, read at a scrape: `breakers_open` says it by app server."""

    def __init__(self, registry: CollectorRegistry, breakers_open: Callable[[], Mapping[str, bool]]) -> None:
        self._breakers_open = breakers_open
        registry.register(self)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Called by prometheus_client at a scrape."""
        family = GaugeMetricFamily(
            "penstock_app_server_breaker_open",
            "1 while this process sends an app server only probes, because connections to it fail.",
            labels=["app_server"],
        )
        for app_server, is_open in self._breakers_open().items():
            family.add_metric([app_server], float(is_open))
        yield family
