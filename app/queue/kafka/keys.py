"""The keys of the queue Redis that only the Kafka queue uses."""

from app.queue import keys


def read_until(partition: int) -> str:
    """A hash: up to which time (Unix milliseconds) each partition of the topic has been read."""
    return keys.prefix(partition) + "caught_up"


def dead_letter_outbox(partition: int) -> str:
    """A sorted set: the dead letters to publish, by the time at which a worker may take them (microseconds)."""
    return keys.prefix(partition) + "outbox"


def message_states(partition: int) -> str:
    """Where the message of each job from Kafka is, a hash."""
    return keys.prefix(partition) + "kafka"
