"""Every key of the counters in the cache Redis, and how a descriptor is written in keys."""

from hashlib import sha256
from urllib.parse import quote

MAX_VALUE_BYTES = 128


def escape(value: str) -> str:
    """A caller's value as it stands in keys: no braces, no `*`, bounded; a long one is replaced by its hash.

    No two values have the same form: a bare `#` stands before hashes alone.
    """
    escaped = quote(value, safe="@:._-+/=~,!")
    return escaped if len(escaped) <= MAX_VALUE_BYTES else "#" + sha256(value.encode()).hexdigest()


def kind(key_type: str) -> str:
    """A key type as it stands in keys: a claim's name ends at the next colon, so that no value can lengthen it."""
    return "claim:" + key_type[6:].replace(":", "%3A") if key_type.startswith("claim:") else key_type


def claim_name(written: str) -> str:
    """A claim's name, from how `kind` wrote it."""
    return written.replace("%3A", ":")


def descriptor(key_type: str, value: str) -> str:
    """Who is counted: `user:user_123`, `ip:192.168.1.1`, `claim:tier:gold`."""
    return f"{kind(key_type)}:{escape(value)}"


def live_counter(rule_id: str, descriptor: str) -> str:
    """The counter of a rule's own quota. The hash tag keeps a counter and its backlog marker in one slot."""
    return f"counter:{{{rule_id}|{descriptor}}}"


def drain_counter(rule_id: str, descriptor: str) -> str:
    """The counter of a drain rate of its own."""
    return f"counter:{{{rule_id}|{descriptor}}}:drain"


def backlog_of(counter: str) -> str:
    """The backlog marker beside a counter: says that the flow of its rule and descriptor has jobs waiting."""
    return "backlog:" + counter.removeprefix("counter:").removesuffix(":drain")
