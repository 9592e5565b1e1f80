"""How the installation is: the same for both faces. Times are in seconds, rates per second over the last ten."""

from typing import Literal

from pydantic import BaseModel, Field

Decision = Literal["forward", "reject", "defer", "block"]
DECISIONS: tuple[Decision, ...] = ("forward", "reject", "defer", "block")


class StatusProblem(BaseModel):
    """Something that is not as it should be, in a sentence, and what it is about: where it can be dealt with."""

    text: str
    about: Literal["rules", "processes", "stores", "app_servers"]


class ProcessStatus(BaseModel):
    """A process, by its last heartbeat. `rates` are of an edge's decisions, or of a worker's attempts by outcome."""

    id: str
    role: str
    host: str
    pid: int
    version: str
    uptime_seconds: float
    heartbeat_age_seconds: float
    silent: bool = Field(description="It has not been heard of for several heartbeats, and has not said that it ends.")
    rules_version: int | None = Field(description="The version of the rules that it has; null where it has none.")
    rules_version_age_seconds: float | None = Field(description="How long it has had that version.")
    lag_seconds: float | None = Field(description="How far a sync process is behind MongoDB; null for the others.")
    in_flight: int | None = Field(description="How many jobs a worker has in flight.")
    rates: dict[str, float]


class AppServerStatus(BaseModel):
    """An app server, and how many of the processes that send to it have its circuit breaker open."""

    app_server: str
    breakers: int
    breakers_open: int


class TopicStatus(BaseModel):
    """A topic of Kafka that workers read, and how far they are behind."""

    topic: str
    lag: int | None = Field(
        description="How many messages are not in their flows yet, in the partitions that are read; null: not known."
    )
    partitions: int | None = Field(description="How many partitions the topic has; null: not known.")
    partitions_read: int = Field(description="How many of them a worker that has been heard of lately reads.")


class StoreStatus(BaseModel):
    """A store, or the broker before the queue. What it does not say, or what cannot be asked, is null."""

    store: Literal["mongodb", "cache_redis", "queue_redis", "kafka"]
    reachable: bool
    version: str | None = None
    used_memory_bytes: int | None = None
    max_memory_bytes: int | None = Field(None, description="0: there is no limit.")
    disk_free_bytes: int | None = None
    disk_total_bytes: int | None = None
    problems: list[str] = []
    topics: list[TopicStatus] = Field([], description="Of Kafka, which is only there where workers read it.")


class RulesStatus(BaseModel):
    """The rules: the version that is published, and how far sync is behind MongoDB."""

    version: int | None
    sync_lag_seconds: float | None = Field(description="Of the sync process that is least behind; null: none is known.")
    invalid_documents: int | None = Field(description="As of sync's last full copy.")
    paused: int | None = Field(
        description="How many rules operators have paused, 10,000 at most; null while MongoDB cannot be reached."
    )


class BacklogStatus(BaseModel):
    """All jobs that are not final, the age of the oldest one, those that back off, and the dead letters."""

    jobs: int
    oldest_age_seconds: float | None
    retrying: int
    dead_letters: int
    recent_dead_letters: int = Field(description="How many of the dead letters failed in the last ten minutes.")


class FlowsStatus(BaseModel):
    """How many flows have jobs, and how many of them app servers hold back, as of the last look at all flows."""

    total: int
    held: int
    paused: int | None = Field(
        description="How many callers' flows operators have paused, with or without jobs; null while that is not known."
    )
    as_of: str | None = Field(
        json_schema_extra={"format": "date-time"}, description="When all flows were looked at; null: not yet."
    )


class LatencyStatus(BaseModel):
    """How long edges have taken to decide with the counters, over the last ten seconds.

    Bounds of a histogram between which the true values are estimated.
    """

    p50_seconds: float
    p99_seconds: float


class RateStatus(BaseModel):
    """The rates of decisions by all edges, and of attempts to send jobs by all workers."""

    decisions: dict[Decision, float]
    attempts: float


class DrainStatus(BaseModel):
    """How fast the 100 deepest flows may drain and do, together, in jobs a second. Paused flows may not."""

    permitted_per_second: float
    actual_per_second: float


class Status(BaseModel):
    """How the installation is. `problems` says what is not as it should be."""

    at: str = Field(json_schema_extra={"format": "date-time"})
    problems: list[StatusProblem]
    rates: RateStatus
    decision_latency: LatencyStatus | None = Field(description="Null while nothing is decided.")
    backlog: BacklogStatus | None = Field(description="Null while the queue Redis cannot be reached.")
    flows: FlowsStatus
    drain: DrainStatus | None = Field(description="Null while the queue Redis cannot be reached.")
    rules: RulesStatus
    processes: list[ProcessStatus]
    app_servers: list[AppServerStatus]
    stores: list[StoreStatus]


class StatusSample(BaseModel):
    """What charts show of one status. What was not known is null."""

    at: str = Field(json_schema_extra={"format": "date-time"})
    decisions: dict[Decision, float]
    jobs: int | None
    oldest_age_seconds: float | None
    dead_letters: int | None
    permitted_per_second: float | None
    actual_per_second: float | None


class StatusHistory(BaseModel):
    """The last ten minutes, oldest first: at most a sample a second, and none for the time in which nobody watched."""

    samples: list[StatusSample]
