"""Every key of the queue Redis. A partition's keys share its hash tag, so that a script may touch them."""

from hashlib import sha256
from zlib import crc32


def prefix(partition: int) -> str:
    """What all keys of a partition begin with; the scripts append the rest (app/queue/lua/_names.lua)."""
    return f"{{q{partition}}}:"


def flow(rule_id: str, descriptor: str) -> str:
    """The name of the flow of one rule's jobs for one descriptor."""
    return f"{rule_id}|{descriptor}"


def partition_of_flow(name: str, partitions: int) -> int:
    """The partition that holds a flow."""
    return crc32(name.encode()) % partitions


def wake_channel(partition: int) -> str:
    """Where a script says that a flow became due earlier than workers could know."""
    return prefix(partition) + "wake"


def record(partition: int, job_id: str) -> str:
    """A job's record, a hash."""
    return f"{prefix(partition)}job:{job_id}"


def idempotency_name(owner: str, key: str) -> str:
    """An owner's idempotency key as it stands in keys: hashed, so that what callers send is bounded."""
    return f"{owner}:{sha256(key.encode()).hexdigest()[:32]}"


def idempotency(partition: int, owner: str, key: str) -> str:
    """The job that an idempotency key stands for."""
    return f"{prefix(partition)}idem:{idempotency_name(owner, key)}"


def owned(partition: int, owner: str) -> str:
    """One owner's jobs by the time of their submission, a sorted set."""
    return f"{prefix(partition)}owner:{owner}"
