"""The keys of the queue Redis that Python code names; the scripts name the others (app/queue/lua/_names.lua).

All keys of a partition share its hash tag, so that one script may touch them.
"""

from hashlib import sha256
from zlib import crc32


def prefix(partition: int) -> str:
    """What all keys of a partition begin with; the scripts append the rest."""
    return f"{{q{partition}}}:"


def partition_of_flow(name: str, partitions: int) -> int:
    """The partition that holds a flow: that of its own counter, so that all flows which share it are in one place."""
    own_counter = name.partition(">")[0].partition(";")[0]
    return crc32(own_counter.encode()) % partitions


def jobs_stream(partition: int) -> str:
    """The stream of all jobs that are not final."""
    return prefix(partition) + "jobs"


def wake_channel(partition: int) -> str:
    """Where a script says that a flow became due earlier than workers could know."""
    return prefix(partition) + "wake"


def flow_settings(partition: int) -> str:
    """What operators have set for flows, a hash; also the channel that names what has changed."""
    return prefix(partition) + "settings"


def flow_settings_ended(partition: int) -> str:
    """Ends of what was set for flows for a while only, for the audit, a hash."""
    return prefix(partition) + "settings_ended"


def flow_settings_version(partition: int) -> str:
    """A number that rises with each change of these settings."""
    return prefix(partition) + "settings_version"


def record(partition: int, job_id: str) -> str:
    """A job's record, a string."""
    return f"{prefix(partition)}job:{job_id}"


def waiting_in(partition: int, flow: str) -> str:
    """The jobs that wait in a flow, a sorted set by their numbers."""
    return f"{prefix(partition)}flow:{flow}:jobs"


def spilled_in(partition: int, flow: str) -> str:
    """The jobs of a flow whose requests stay on Kafka, a sorted set by their numbers."""
    return f"{prefix(partition)}flow:{flow}:spilled"


def awaiting_in(partition: int, flow: str) -> str:
    """The jobs of a flow whose messages were not read from Kafka yet, a sorted set by their numbers."""
    return f"{prefix(partition)}flow:{flow}:awaiting"


def flows_with_waiting_jobs(partition: int) -> str:
    """All flows in which a job waits, a sorted set by the time at which one may have waited too long."""
    return prefix(partition) + "expiry"


def flows_on_kafka(partition: int) -> tuple[str, str]:
    """Two sorted sets of the flows that have jobs whose requests are not here: on Kafka, or not read from it yet."""
    return prefix(partition) + "spilled", prefix(partition) + "unread"


def flows_of_rule(partition: int, rule_id: str) -> str:
    """The flows that are charged for a rule, a set."""
    return f"{rule(partition, rule_id)}:flows"


def rule(partition: int, rule_id: str) -> str:
    """A rule as its flows know it, a hash."""
    return f"{prefix(partition)}rule:{rule_id}"


def idempotency_name(owner: str, key: str) -> str:
    """An owner's idempotency key as it stands in keys: hashed, so that what callers send is bounded."""
    return f"{owner}:{sha256(key.encode()).hexdigest()[:32]}"


def idempotency(partition: int, owner: str, key: str) -> str:
    """The job that an idempotency key stands for."""
    return f"{prefix(partition)}idem:{idempotency_name(owner, key)}"
