"""The answer breaker: it opens when most flows are turned away, and each of its probes is of another flow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.upstream.breaker import LONGEST_BACKOFF_S
from consumers.answer_breaker import FLOWS_TO_OPEN, LATEST_ANSWERS, SAME_FLOW_DELAY_S, AnswerBreaker

ROUNDING_S = 1e-6


class Worker:
    """Sends jobs through an answer breaker at times that the test sets."""

    def __init__(self) -> None:
        self.breaker = AnswerBreaker(jitter=lambda: 0.0)
        self.now = 0.0
        self._jobs = 0

    def may_send(self, flow: str) -> bool:
        return self.breaker.capacity(self.now) >= 1 and self.breaker.wait_s(self.now, flow) == 0

    def begin(self, flow: str) -> str:
        assert self.may_send(flow)
        self._jobs += 1
        self.breaker.begin(flow, str(self._jobs), self.now)
        return str(self._jobs)

    def send(self, flow: str, *, busy: bool | None) -> None:
        self.breaker.end(flow, self.begin(flow), self.now, busy=busy)

    def wait(self, flow: str = "") -> None:
        self.now += self.breaker.wait_s(self.now, flow)


def opened() -> Worker:
    worker = Worker()
    for number in range(FLOWS_TO_OPEN):
        assert worker.breaker.is_closed
        worker.send(f"flow-{number}", busy=True)
    assert worker.breaker.is_open
    return worker


def test_five_flows_that_are_turned_away_open_it() -> None:
    assert opened().breaker.wait_s(0.0) == 0.5


def test_few_flows_never_open_it_however_often_they_are_turned_away() -> None:
    worker = Worker()
    for number in range(1000):
        worker.send(f"flow-{number % (FLOWS_TO_OPEN - 1)}", busy=True)
    assert worker.breaker.is_closed


def test_it_stays_closed_while_as_many_flows_are_served_as_turned_away() -> None:
    worker = Worker()
    for number in range(200):
        worker.send(f"served-{number % 10}", busy=False)
        worker.send(f"busy-{number % 10}", busy=True)
    assert worker.breaker.is_closed


def test_only_the_last_answer_of_a_flow_counts() -> None:
    worker = Worker()
    for busy in (True, False):
        for number in range(FLOWS_TO_OPEN - 1):
            worker.send(f"flow-{number}", busy=busy)
    worker.send("another", busy=True)
    assert worker.breaker.is_closed


def test_only_the_latest_answers_count() -> None:
    worker = Worker()
    for number in range(FLOWS_TO_OPEN - 1):
        worker.send(f"flow-{number}", busy=True)
    for _ in range(LATEST_ANSWERS):
        worker.send("served", busy=False)
    worker.send("another", busy=True)
    assert worker.breaker.is_closed


def test_attempts_without_an_answer_say_nothing() -> None:
    worker = Worker()
    for number in range(100):
        worker.send(f"flow-{number}", busy=None)
    assert worker.breaker.is_closed


def test_each_probe_is_of_another_flow_than_the_last() -> None:
    worker, probed = opened(), list[str]()
    for _ in range(20):
        worker.wait()
        flow = next(flow for flow in ("a", "b", "c") if worker.may_send(flow))
        worker.send(flow, busy=True)
        assert not worker.may_send("a")
        assert not worker.may_send("b")
        probed.append(flow)
    assert probed == ["a", "b"] * 10


def test_a_flow_that_is_alone_probes_too_and_at_least_every_ten_seconds() -> None:
    worker, waits = opened(), list[float]()
    worker.wait("alone")
    for _ in range(8):
        worker.send("alone", busy=True)
        began = worker.now
        worker.wait()
        assert not worker.may_send("alone")
        worker.wait("alone")
        waits.append(worker.now - began)
    assert waits == pytest.approx([1.5, 2.5, 4.5, 8.5, 10, 10, 10, 10])
    assert max(waits) <= LONGEST_BACKOFF_S + ROUNDING_S
    assert SAME_FLOW_DELAY_S < 1


@pytest.mark.parametrize("busy", [True, None])
def test_a_probe_that_is_turned_away_or_not_answered_leaves_it_open(busy: bool | None) -> None:
    worker = opened()
    worker.wait()
    worker.send("a", busy=busy)
    assert worker.breaker.is_open
    assert worker.breaker.wait_s(worker.now) == 1.0


def test_a_probe_that_is_served_closes_it_by_a_ramp_and_old_answers_are_forgotten() -> None:
    worker = opened()
    worker.wait()
    worker.send("a", busy=False)
    assert not worker.breaker.is_open
    assert not worker.breaker.is_closed
    assert 1 <= worker.breaker.capacity(worker.now) <= 2
    worker.send("b", busy=True)
    assert not worker.breaker.is_open, "the flow is the first one since"


def test_answers_to_jobs_that_were_sent_before_it_opened_change_nothing() -> None:
    worker = Worker()
    early = worker.begin("early")
    for number in range(FLOWS_TO_OPEN):
        worker.send(f"flow-{number}", busy=True)
    worker.breaker.end("early", early, worker.now, busy=False)
    assert worker.breaker.is_open


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from([True, False, None]), st.floats(0, 11))))
def test_any_flow_may_be_sent_within_ten_seconds(steps: list[tuple[str, bool | None, float]]) -> None:
    worker = Worker()
    for flow, busy, pause_s in steps:
        worker.now += pause_s
        assert worker.breaker.wait_s(worker.now, flow) <= LONGEST_BACKOFF_S + ROUNDING_S
        if worker.may_send(flow):
            worker.send(flow, busy=busy)
