"""What workers say of Kafka, and what operators are told of it."""

from typing import Any

import pytest

from app.admin.services import status_reading as reading
from app.admin.services.kafka_reading import kafka_status
from app.admin.services.status_model import RulesStatus, StoreStatus, TopicStatus
from app.commands.status_tables import print_status
from app.process.heartbeat import Heartbeat
from consumers.kafka.watch import ANSWER_WITHIN_S, SILENT_AFTER_S, KafkaWatch

RULES = RulesStatus(version=None, sync_lag_seconds=None, invalid_documents=None, paused=None)


def worker(age_s: float = 1.0, **said: Any) -> Heartbeat:  # noqa: ANN401
    kafka = {"topic": "jobs", "partitions": 4, "problem": None, "lag": {}} | said
    return Heartbeat(f"w{age_s}", age_s, {"role": "worker", "kafka": kafka})


def test_nothing_is_said_of_kafka_where_no_worker_reads_it() -> None:
    assert kafka_status([Heartbeat("w", 1.0, {"role": "worker"}), Heartbeat("e", 1.0, {"role": "edge"})]) == []


def test_lag_is_summed_up_over_partitions_and_the_latest_word_counts() -> None:
    [found] = kafka_status(
        [worker(1.9, lag={"0": 50, "1": 7}), worker(0.1, lag={"2": 3, "0": 10}), worker(30.0, lag={"3": 1000})]
    )
    assert found == StoreStatus(
        store="kafka",
        reachable=True,
        topics=[TopicStatus(topic="jobs", lag=20, partitions=4, partitions_read=3)],
    )


def test_topics_are_listed_apart_and_what_is_not_known_is_null() -> None:
    [found] = kafka_status([worker(), worker(topic="others", partitions=None, lag={"0": 0})])
    assert found.topics == [
        TopicStatus(topic="jobs", lag=None, partitions=4, partitions_read=0),
        TopicStatus(topic="others", lag=0, partitions=None, partitions_read=1),
    ]


@pytest.mark.parametrize(
    ("heartbeats", "reachable", "problem"),
    [
        ([worker(problem="it is gone")], False, "kafka: no worker can reach it: it is gone."),
        ([worker(0.5, problem="it is gone"), worker()], True, "kafka: 1 of 2 workers cannot reach it: it is gone."),
    ],
    ids=["none", "one of two"],
)
def test_a_broker_that_cannot_be_reached_is_a_problem(
    heartbeats: list[Heartbeat], reachable: bool, problem: str
) -> None:
    [found] = kafka_status(heartbeats)
    assert found.reachable is reachable
    problems = reading.problems([], [found], RULES)
    assert (problems[0].text, problems[0].about) == (problem, "stores")


def test_what_another_version_says_otherwise_is_left_out() -> None:
    values: list[Any] = [None, 3, [], {"topic": "jobs"}]
    odd = [Heartbeat("x", 1.0, {"kafka": value}) for value in values]
    assert kafka_status(odd) == []
    assert kafka_status([*odd, worker(lag={"0": 1})])[0].topics[0].lag == 1


def test_a_broker_that_never_answers_is_said_after_a_while_and_nothing_before() -> None:
    now_s = [100.0]
    watch = KafkaWatch("jobs", lambda: now_s[0])
    assert watch.report() == {}, "it has hardly been asked"
    now_s[0] += SILENT_AFTER_S + 5
    assert watch.report()["kafka"]["problem"] == "it has not answered for 15 s"


def test_a_failure_is_said_at_once_in_one_line() -> None:
    watch = KafkaWatch("jobs")
    watch.failed(OSError("no\nroute"))
    assert watch.report() == {"kafka": {"topic": "jobs", "partitions": None, "problem": "no\\nroute", "lag": {}}}
    watch.failed(TimeoutError())
    assert watch.report()["kafka"]["problem"] == f"it has not answered within {ANSWER_WITHIN_S:g} s"


def test_the_command_writes_lag_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    store = kafka_status([worker(lag={"0": 12})])[0].model_dump()
    status = {
        "processes": [], "stores": [store], "app_servers": [], "backlog": None,
        "rates": {"decisions": {}, "attempts": 0.0}, "rules": {"version": 1, "sync_lag_seconds": None},
    }  # fmt: skip
    print_status(status)
    written = " ".join(capsys.readouterr().out.split())
    assert "12 messages wait in jobs, of which 1 of 4 partitions are read" in written
