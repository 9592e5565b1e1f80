"""What edges and workers exchange with the Kafka queue's side of the queue Redis: plain values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from app.queue.model import Enqueued, Full


@dataclass(frozen=True, slots=True)
class MessageLocation:
    """A partition of the topic and the offset of a message in it."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class IntakeMessage:
    """A message that the intake has read. `stored`: the encoded request."""

    job_id: str
    location: MessageLocation
    stored: bytes


@dataclass(frozen=True, slots=True)
class Recorded:
    """The answer to a deferral. `awaits_message`: the job was known before, and its message has not been read."""

    answer: Enqueued | Full
    awaits_message: bool = False


class AdmitResult(NamedTuple):
    """How many messages were processed before the memory was full, and what became of them."""

    processed: int
    resident: int
    spilled: int
    skipped: int


@dataclass(frozen=True, slots=True)
class SpilledJob:
    """A job whose request is in Kafka only."""

    flow: str
    job_id: str
    location: MessageLocation


@dataclass(frozen=True, slots=True)
class NextToFetch:
    """The spilled jobs whose flows have room. `wait_s`: when to ask again; None where no flow has spilled jobs."""

    wait_s: float | None
    jobs: Sequence[SpilledJob]


class RefillResult(NamedTuple):
    """How many requests are resident now, and how many jobs failed because Kafka no longer has their requests."""

    resident: int
    lost: int


class OutboxEntry(NamedTuple):
    """A dead letter to publish. `request` is empty where the request never left Kafka."""

    job_id: str
    flow: str
    attempts: int
    code: str
    message: str
    request: bytes
