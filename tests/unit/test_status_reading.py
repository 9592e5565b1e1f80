"""What heartbeats and stores are read as: rates, lag, breakers, and what is wrong."""

import time
from typing import Any

import pytest

from app.admin.services import status_reading as reading
from app.admin.services.status_model import AppServerStatus, ProcessStatus, RulesStatus, StoreStatus
from app.process.heartbeat import Heartbeat
from app.process.rate_window import RateWindow


def heartbeat(role: str, age_s: float = 1.0, up_s: float = 3600.0, **said: Any) -> Heartbeat:  # noqa: ANN401
    constant = {"role": role, "host": "h", "pid": 7, "version": "1", "started_at_s": time.time() - up_s}
    return Heartbeat(f"{role}-{age_s}", age_s, constant | said)


def edge(version: int | None = 5, age_s: float = 1.0, up_s: float = 3600.0, **said: Any) -> Heartbeat:  # noqa: ANN401
    return heartbeat("edge", age_s, up_s, rules_version=version, rules_version_age_s=60.0, **said)


WORKER, SYNC = heartbeat("worker", rules_version=5, rules_version_age_s=60.0), heartbeat("sync", lag_s=0.2)
PUBLISHED = RulesStatus(version=5, sync_lag_seconds=0.2, invalid_documents=0, paused=0)


def wrong(*heartbeats: Heartbeat, stores: tuple[StoreStatus, ...] = (), rules: RulesStatus = PUBLISHED) -> list[str]:
    return [problem.text for problem in reading.problems(reading.process_statuses(heartbeats), stores, rules)]


def processes(*heartbeats: Heartbeat) -> list[ProcessStatus]:
    return reading.process_statuses(heartbeats)


def test_a_heartbeat_of_another_form_hides_no_other() -> None:
    odd = [Heartbeat("x", 1.0, {}), heartbeat("edge", started_at_s="noon"), heartbeat("edge", rates_per_s=5)]
    assert [one.role for one in processes(*odd, WORKER)] == ["worker"]


def test_a_whole_installation_has_no_problems() -> None:
    assert wrong(edge(), WORKER, SYNC) == []


@pytest.mark.parametrize(
    ("heartbeats", "problem"),
    [
        ((WORKER, SYNC), "No edge is running."),
        ((edge(), SYNC), "No worker is running."),
        ((edge(), WORKER), "No sync is running."),
        ((edge(), edge(age_s=30.0), WORKER, SYNC), "The edge h:7 has not been heard of for 30 s."),
        ((edge(), edge(4), WORKER, SYNC), "The edge h:7 has version 4 of the rules, and 5 is published."),
        ((edge(None), WORKER, SYNC), "The edge h:7 has no rules."),
    ],
    ids=["edge", "worker", "sync", "silent", "old rules", "no rules"],
)
def test_what_is_wrong_with_processes_is_said(heartbeats: tuple[Heartbeat, ...], problem: str) -> None:
    assert wrong(*heartbeats) == [problem]


def test_what_may_be_for_a_moment_is_no_problem() -> None:
    new = heartbeat("worker", rules_version=5, rules_version_age_s=0.5)
    assert wrong(edge(4), new, SYNC) == [], "the version is new"
    assert wrong(edge(None, up_s=2.0), WORKER, SYNC) == [], "the edge is new"
    assert wrong(edge(age_s=30.0), edge(up_s=20.0), WORKER, SYNC) == [], "another one was started in its place"


def test_what_is_wrong_with_stores_and_rules_is_said() -> None:
    away = StoreStatus(store="mongodb", reachable=False, problems=["it has not answered"])
    late = RulesStatus(version=None, sync_lag_seconds=30.0, invalid_documents=2, paused=0)
    assert wrong(edge(), WORKER, SYNC, stores=(away,), rules=late) == [
        "mongodb: it has not answered.",
        "No rules are published.",
        "Sync is 30 s behind MongoDB.",
        "Documents in MongoDB that are not valid rules: 2.",
    ]


def test_processes_are_not_missed_while_nobody_can_know_of_them() -> None:
    away = StoreStatus(store="cache_redis", reachable=False, problems=["gone"])
    assert wrong(stores=(away,)) == [
        "cache_redis: gone.",
        "The processes are not known while the cache Redis cannot be reached.",
    ]


def test_rates_are_added_up_over_those_that_are_heard_of() -> None:
    rates = reading.rates(
        processes(
            edge(rates_per_s={"forward": 10.0, "defer": 1.5}),
            edge(rates_per_s={"forward": 2.5, "other": 9.0}),
            edge(age_s=30.0, rates_per_s={"forward": 100.0}),
            heartbeat("worker", rates_per_s={"succeeded": 3.0, "retry": 1.0}),
        )
    )
    assert rates.decisions == {"forward": 12.5, "reject": 0.0, "defer": 1.5, "block": 0.0}
    assert rates.attempts == 4.0


def test_a_problem_says_what_it_is_about() -> None:
    away = StoreStatus(store="mongodb", reachable=False, problems=["it has not answered"])
    unpublished = RulesStatus(version=None, sync_lag_seconds=None, invalid_documents=None, paused=None)
    server = AppServerStatus(app_server="a:1", breakers=2, breakers_open=1)
    found = reading.problems(processes(edge(), WORKER), (away,), unpublished, (server,))
    assert [(one.about, one.text) for one in found] == [
        ("stores", "mongodb: it has not answered."),
        ("processes", "No sync is running."),
        ("app_servers", "The circuit breaker of a:1 is open in 1 of 2 processes."),
        ("rules", "No rules are published."),
    ]


def test_the_latency_of_decisions_is_that_of_all_edges_together() -> None:
    fast = edge(decided_within_per_s={"0.001": 90.0, "0.002": 0.0, "inf": 0.0})
    slow = edge(decided_within_per_s={"0.002": 8.0, "0.5": 0.0, "inf": 2.0})
    silent = edge(age_s=30.0, decided_within_per_s={"0.5": 1000.0})
    odd = [edge(decided_within_per_s=value) for value in (3, {"x": 1.0}, {"0.1": "many"}, None)]
    found = reading.decision_latency([fast, slow, silent, *odd, WORKER])
    assert found is not None
    assert found.p50_seconds == pytest.approx(0.001 * 50 / 90, abs=1e-6)
    assert found.p99_seconds == 0.5, "at least: it is beyond the last bound"
    assert reading.decision_latency([edge(decided_within_per_s={"0.001": 0.0}), silent]) is None


def test_breakers_are_counted_by_app_server() -> None:
    found = reading.app_servers(
        [
            edge(breakers_open={"b:1": True, "a:1": False}),
            edge(breakers_open={"b:1": False}),
            edge(age_s=30.0, breakers_open={"b:1": True}),
        ]
    )
    assert [(one.app_server, one.breakers_open, one.breakers) for one in found] == [("a:1", 0, 1), ("b:1", 1, 2)]


def test_sync_lags_as_much_as_the_one_that_lags_least() -> None:
    assert reading.sync_lag_s(processes(heartbeat("sync", lag_s=5.0), heartbeat("sync", lag_s=0.25))) == 1.25
    assert reading.sync_lag_s(processes(heartbeat("sync", age_s=30.0, lag_s=0.1))) is None


def test_what_another_version_says_otherwise_is_left_out() -> None:
    assert processes(Heartbeat("x", 1.0, {"role": "edge"}), edge())[0].rules_version == 5
    assert len(processes(Heartbeat("x", 1.0, {}), edge(rates_per_s="none"))) == 0


def test_a_rate_is_what_was_counted_since_the_oldest_sample() -> None:
    now_s = [0.0]
    window = RateWindow(3, lambda: now_s[0])
    counted = [(0.0, 0), (1.0, 10), (2.0, 10), (3.0, 40)]
    rates = []
    for now_s[0], count in counted:
        rates.append(window.add({"a": count})["a"])
    assert rates == [0.0, 10.0, 5.0, 15.0]
