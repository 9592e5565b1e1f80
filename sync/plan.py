"""What a set of changes writes into the cache Redis: pure decisions over what stands there."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import ip_network
from typing import Any

import orjson
from bson.timestamp import Timestamp

from app.limiter.keys import claim_name
from app.rules import keys
from app.rules.active import encode_active
from app.rules.model import Rule

_INCREMENTS = 1 << 20
_NOT_ACTED_ON = {"version", "updated_at", "updated_by"}


def revision_of(time: Timestamp) -> int:
    """MongoDB's cluster time as one integer that a double, and so Lua, holds exactly."""
    return int(time.time) * _INCREMENTS + min(int(time.inc), _INCREMENTS - 1)


def time_of_revision(revision: int) -> int:
    """Unix seconds."""
    return revision // _INCREMENTS


@dataclass(frozen=True, slots=True)
class Change:
    """A rule as of a revision; None: it is gone."""

    rule_id: str
    revision: int
    rule: Rule | None


@dataclass(frozen=True, slots=True)
class State:
    """What `rules:state` says of one rule."""

    revision: int
    bucket: str | None
    digest: str

    @classmethod
    def parse(cls, data: bytes) -> "State":
        """From JSON."""
        fields = orjson.loads(data)
        return cls(fields["revision"], fields["bucket"], fields["digest"])

    def dump(self) -> bytes:
        """To JSON."""
        return orjson.dumps({"revision": self.revision, "bucket": self.bucket, "digest": self.digest})


@dataclass(frozen=True, slots=True)
class Plan:
    """New values of buckets and states, and by how much the index counts change."""

    buckets: dict[str, bytes]
    states: dict[str, bytes]
    index: dict[str, int]
    rules: list[str]
    """The ids of the rules that edges and workers must read again."""


def bucket_of(rule: Rule | None) -> str | None:
    """Where an enabled rule stands."""
    return keys.bucket(rule.key_type, rule.key_value) if rule is not None and rule.enabled else None


def digest_of(rule: Rule | None) -> str:
    """Says whether a rule is the same to edges and workers."""
    if rule is None or not rule.enabled:
        return ""
    fields = rule.model_dump_json(exclude_defaults=True, exclude=_NOT_ACTED_ON)
    return sha256(fields.encode()).hexdigest()[:16]


def content_digest(rule: Rule) -> str:
    """Says whether a rule's document is the same, enabled or not."""
    return sha256(rule.model_dump_json(exclude_defaults=True).encode()).hexdigest()[:16]


def accepted(changes: Iterable[Change], states: Mapping[str, State], floor: int) -> list[Change]:
    """The latest change of each rule, if it is newer than what is published: no late event puts an old rule back."""
    latest: dict[str, Change] = {}
    for change in sorted(changes, key=lambda change: change.revision):
        known = states.get(change.rule_id)
        if change.revision > max(floor, known.revision if known else 0):
            latest[change.rule_id] = change
    return list(latest.values())


def plan(changes: Iterable[Change], states: Mapping[str, State], buckets: Mapping[str, bytes | None]) -> Plan:
    """What accepted changes write. `buckets` holds every bucket that they take a rule from or put one into."""
    contents = {name: {rule["rule_id"]: rule for rule in orjson.loads(data or b"[]")} for name, data in buckets.items()}
    index: Counter[str] = Counter()
    touched: set[str] = set()
    new_states: dict[str, bytes] = {}
    changed: list[str] = []
    for change in changes:
        old, bucket, digest = states.get(change.rule_id), bucket_of(change.rule), digest_of(change.rule)
        new_states[change.rule_id] = State(change.revision, bucket, digest).dump()
        if old is not None and (old.bucket, old.digest) == (bucket, digest):
            continue  # the same to edges and workers
        if old is not None and old.bucket is not None:
            contents[old.bucket].pop(change.rule_id, None)
            index.subtract(_index_fields(old.bucket))
            touched.add(old.bucket)
        if bucket is not None and change.rule is not None:
            contents[bucket][change.rule_id] = encode_active(change.rule, change.revision)
            index.update(_index_fields(bucket))
            touched.add(bucket)
        changed.append(change.rule_id)
    new_buckets = {name: _dump(contents[name].values()) for name in touched}
    return Plan(new_buckets, new_states, {name: by for name, by in index.items() if by}, changed)


def buckets_needed(changes: Iterable[Change], states: Mapping[str, State]) -> list[str]:
    """The buckets that `plan` must be given."""
    needed: set[str | None] = set()
    for change in changes:
        old = states.get(change.rule_id)
        needed |= {bucket_of(change.rule), old.bucket if old else None}
    return sorted(name for name in needed if name is not None)


def _dump(rules: Iterable[dict[str, Any]]) -> bytes:
    """First to apply first; nothing for no rules."""
    in_order = sorted(rules, key=_order)
    return orjson.dumps(in_order) if in_order else b""


def _order(rule: dict[str, Any]) -> tuple[int, int, str]:
    prefix = rule.get("match", {}).get("path_prefix") or ""
    return (-rule.get("priority", 0), -len(prefix), rule["rule_id"])


def _index_fields(bucket: str) -> list[str]:
    _, key_type, rest = bucket.split(":", 2)
    if key_type == "claim":
        return [f"claim:{claim_name(rest.partition(':')[0])}"]
    if key_type == "ip" and "/" in rest:
        network = ip_network(rest)
        return [f"net{network.version}:{network.prefixlen}"]
    return []
