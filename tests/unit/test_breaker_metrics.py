"""The metrics say which circuit breakers are open."""

from prometheus_client import CollectorRegistry

from app.clients import upstream_pools
from app.settings import Settings
from app.upstream.breaker_metrics import BreakerMetrics
from app.upstream.upstream import Upstream
from consumers.answer_breaker import FLOWS_TO_OPEN, AnswerBreaker
from consumers.send_gate import SendGate
from tests.support.ports import free_port


async def test_an_app_server_that_refuses_connections_has_an_open_breaker() -> None:
    port = free_port()
    upstream = Upstream(upstream_pools(Settings(upstreams=f"http://127.0.0.1:{port}")))
    registry = CollectorRegistry()
    BreakerMetrics(registry, upstream.breakers_open)

    def is_open() -> float | None:
        return registry.get_sample_value("penstock_app_server_breaker_open", {"app_server": f"127.0.0.1:{port}"})

    assert is_open() == 0
    await upstream.preconnect()
    assert is_open() == 1
    await upstream.close()


async def test_a_worker_whose_flows_are_turned_away_says_so() -> None:
    gate = SendGate(Upstream([]), AnswerBreaker())
    assert not gate.answers_refuse
    for number in range(FLOWS_TO_OPEN):
        gate.begin(f"flow{number}", str(number))
        gate.end(f"flow{number}", str(number), busy=True)
    assert gate.answers_refuse
