"""The keys of counters and backlog markers in the cache Redis, and how descriptors are written in keys."""

from functools import lru_cache
from hashlib import sha256
from urllib.parse import quote, unquote

MAX_VALUE_BYTES = 128


def escape(value: str) -> str:
    """Write a caller's value for use in a key: without braces or `*`, and of bounded length.

    A value that is too long is replaced by its hash after a `#`, which other values never contain unescaped.
    """
    escaped = quote(value, safe="@:._-+/=~,!")
    return escaped if len(escaped) <= MAX_VALUE_BYTES else "#" + sha256(value.encode()).hexdigest()


@lru_cache(maxsize=1024)
def kind(key_type: str) -> str:
    """Write a key type for use in a key: its name (`claim:<name>`) is escaped, so that the next colon ends it."""
    family, colon, name = key_type.partition(":")
    return family + colon + quote(name, safe="/")


def unescaped_name(written: str) -> str:
    """The name of a key type (the claim's in `claim:<name>`) as it was before `kind` escaped it."""
    return unquote(written)


def descriptor(key_type: str, value: str) -> str:
    """Who is counted: `user:user_123`, `ip:192.168.1.1`, `claim:tier:gold`."""
    return f"{kind(key_type)}:{escape(value)}"


def live_counter(rule_id: str, descriptor: str) -> str:
    """The counter of a rule's limit. The hash tag keeps it and its backlog marker in one slot of a Redis Cluster."""
    return f"counter:{{{rule_id}|{descriptor}}}"


def window_us(window_s: float) -> int:
    """A window in whole microseconds, by which a limit is known among those of its rule."""
    return round(window_s * 1e6)


def window_suffix(window_s: float, *, has_own_cost: bool) -> str:
    """What follows a rule's counter in the key of a quota beside the one with the longest window."""
    return f":w{window_us(window_s)}{'c' if has_own_cost else ''}"


PLACES_SUFFIX = ":places"
PLACES_FREED = "places:freed"
"""The channel that names counters of which a place is free that a worker waits for."""

DRAIN_SUFFIX = ":drain"


def rule_and_descriptor(counter: str) -> str:
    """The rule and the descriptor of a counter with any suffix, as the queue names counters: `<rule>|<descriptor>`."""
    return counter.removeprefix("counter:{").partition("}")[0]


def drain_counter(rule_id: str, descriptor: str) -> str:
    """The counter of a rule's own drain rate."""
    return live_counter(rule_id, descriptor) + DRAIN_SUFFIX


def backlog_of(counter: str) -> str:
    """The backlog marker beside a counter, which says that a flow that waits for the counter has jobs."""
    return f"backlog:{{{rule_and_descriptor(counter)}}}"


def backlog_markers(counter: str, descriptor: str, caller: str) -> tuple[str, ...]:
    """The backlog markers that hold back a caller's live requests: the counter's, and the caller's own if it is shared.

    The last one says that the caller has jobs waiting.
    """
    own = backlog_of(counter)
    return (own,) if not caller or caller == descriptor else (own, caller_backlog_of(counter, caller))


def caller_backlog_of(counter: str, caller: str) -> str:
    """The backlog marker of one caller beside a counter that several callers share."""
    return f"{backlog_of(counter)}:{caller}"


def last_batch_of(sender: str) -> str:
    """Where the number of the last batch of corrections is kept that this process has sent."""
    return f"corrections:{{{sender}}}"
