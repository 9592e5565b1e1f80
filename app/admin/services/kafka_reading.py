"""What the heartbeats of workers say about Kafka: pure functions."""

from collections.abc import Iterable, Iterator, Sequence

from pydantic import BaseModel, ValidationError

from app.admin.services.status_model import StoreStatus, TopicStatus
from app.admin.services.status_reading import SILENT_AFTER_S
from app.process.heartbeat import Heartbeat


class KafkaReport(BaseModel):
    """What one worker says: `problem` is null if Kafka answers it, `lag` is by the partitions that it reads."""

    topic: str
    partitions: int | None
    problem: str | None
    lag: dict[int, int]


def kafka_status(heartbeats: Iterable[Heartbeat]) -> list[StoreStatus]:
    """Return how Kafka is by the latest words of all workers that read it; nothing where none does.

    It is reachable as long as one worker reaches it. What another version of Penstock says otherwise is left out.
    """
    reports = list(_reports(heartbeats))
    if not reports:
        return []
    failures = [report.problem for report in reports if report.problem is not None]
    topics = sorted({report.topic for report in reports})
    return [
        StoreStatus(
            store="kafka",
            reachable=len(failures) < len(reports),
            problems=_problems(failures, len(reports)),
            topics=[_topic(topic, [report for report in reports if report.topic == topic]) for topic in topics],
        )
    ]


def _reports(heartbeats: Iterable[Heartbeat]) -> Iterator[KafkaReport]:
    """What workers have said lately, the latest word first."""
    for heartbeat in sorted(heartbeats, key=lambda one: one.age_s):
        if heartbeat.age_s <= SILENT_AFTER_S and "kafka" in heartbeat.said:
            try:
                yield KafkaReport.model_validate(heartbeat.said["kafka"])
            except ValidationError:
                continue


def _problems(failures: Sequence[str], workers: int) -> list[str]:
    if not failures:
        return []
    if len(failures) == workers:
        return [f"no worker can reach it: {failures[0]}"]
    return [f"{len(failures)} of {workers} workers cannot reach it: {failures[0]}"]


def _topic(topic: str, reports: Sequence[KafkaReport]) -> TopicStatus:
    """A partition that was moved is in two reports for a moment: the latest word counts."""
    lag: dict[int, int] = {}
    for report in reports:
        lag = report.lag | lag
    return TopicStatus(
        topic=topic,
        lag=sum(lag.values()) if lag else None,
        partitions=next((report.partitions for report in reports if report.partitions is not None), None),
        partitions_read=len(lag),
    )
