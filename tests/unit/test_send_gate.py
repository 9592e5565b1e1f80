"""The gate before each send: breakers that are open, and flows that were held, stop the jobs that may not be sent."""

from typing import Any

from app.clients import upstream_pools
from app.settings import Settings
from app.upstream.upstream import Upstream
from consumers.answer_breaker import FLOWS_TO_OPEN, AnswerBreaker
from consumers.send_gate import LONGEST_PAUSE_S, SendGate

URL: Any = "http://127.0.0.1:9"


class Gate:
    """A gate whose time the test sets, before an app server that nobody connects to."""

    def __init__(self, *, with_app_server: bool = True) -> None:
        self.now = 0.0
        upstream = Upstream(upstream_pools(Settings(upstreams=URL if with_app_server else ())), fail_fast=True)
        self.gate = SendGate(upstream, AnswerBreaker(jitter=lambda: 0.0), clock=lambda: self.now)

    def answer(self, flow: str, *, busy: bool) -> None:
        self.gate.begin(flow, f"job of {flow}")
        self.gate.end(flow, f"job of {flow}", busy=busy)


def test_a_busy_answer_stops_the_jobs_of_its_flow_until_the_flow_is_taken_again() -> None:
    at = Gate()
    at.gate.begin_drain("a")
    at.gate.begin_drain("b")
    at.answer("a", busy=True)
    assert (at.gate.may_send("a"), at.gate.may_send("b")) == (False, True)
    at.gate.end_drain("a")
    at.gate.begin_drain("a")
    assert at.gate.may_send("a")


def test_an_answer_that_comes_after_its_flow_was_given_back_is_not_remembered() -> None:
    at = Gate()
    at.answer("a", busy=True)
    assert at.gate.may_send("a")


def test_the_open_answer_breaker_stops_all_flows_but_one_probe() -> None:
    at = Gate()
    for number in range(FLOWS_TO_OPEN):
        assert at.gate.capacity > 1
        at.answer(f"flow-{number}", busy=True)
    assert at.gate.changed.is_set()
    assert (at.gate.capacity, at.gate.may_send("a"), at.gate.wait_s) == (0, False, 0.5)
    assert at.gate.pause_s("a") == 0.5
    at.now = 0.5
    assert (at.gate.capacity, at.gate.may_send("a"), at.gate.pause_s("a")) == (1, True, 0.0)
    at.gate.begin("a", "probe")
    assert not at.gate.may_send("b")
    at.gate.end("a", "probe", busy=False)
    assert at.gate.may_send("b")


def test_the_flow_of_the_last_probe_pauses_longer_than_others() -> None:
    at = Gate()
    for number in range(FLOWS_TO_OPEN):
        at.answer(f"flow-{number}", busy=True)
    at.now = 0.5
    at.answer("a", busy=True)
    at.now = 1.5
    assert (at.gate.may_send("a"), at.gate.may_send("b")) == (False, True)
    assert at.gate.pause_s("a") == 0.5


def test_without_an_app_server_nothing_may_be_sent() -> None:
    at = Gate(with_app_server=False)
    assert (at.gate.capacity, at.gate.may_send("a")) == (0, False)
    assert 0 < at.gate.pause_s("a") <= LONGEST_PAUSE_S
