"""Decides what a set of rule changes writes into the cache Redis. All functions are pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import orjson
from bson.timestamp import Timestamp

from app.rules import keys
from app.rules.active import encode_active
from app.rules.digest import content_digest
from app.rules.key_types import index_fields
from app.rules.model import Rule
from app.web.paths import prefix_form

_INCREMENTS_PER_SECOND = 1 << 20


def revision_of(time: Timestamp) -> int:
    """Return MongoDB's cluster time as one integer that a double, and so a Lua number, represents exactly."""
    return int(time.time) * _INCREMENTS_PER_SECOND + min(int(time.inc), _INCREMENTS_PER_SECOND - 1)


def time_of_revision(revision: int) -> int:
    """Return the time of a revision in Unix seconds."""
    return revision // _INCREMENTS_PER_SECOND


@dataclass(frozen=True, slots=True)
class RuleChange:
    """A rule as of a revision; `rule` is None if it was deleted."""

    rule_id: str
    revision: int
    rule: Rule | None


@dataclass(frozen=True, slots=True)
class PublishedRule:
    """What `rules:state` records of one rule: its revision, the bucket that holds it, and the digest of its content.

    `bucket` is None for a tombstone: the rule is deleted or disabled.
    """

    revision: int
    bucket: str | None
    digest: str

    @classmethod
    def parse(cls, data: bytes) -> "PublishedRule":
        """Parse the JSON of `rules:state`."""
        fields = orjson.loads(data)
        return cls(fields["revision"], fields["bucket"], fields["digest"])

    def dump(self) -> bytes:
        """Return the JSON for `rules:state`."""
        return orjson.dumps({"revision": self.revision, "bucket": self.bucket, "digest": self.digest})


@dataclass(frozen=True, slots=True)
class CacheWrites:
    """New values of buckets and of `rules:state`, and by how much the counts of the index change."""

    buckets: dict[str, bytes]
    states: dict[str, bytes]
    index: dict[str, int]
    changed_ids: list[str]
    """The ids of the rules that edges and workers must read again."""


def bucket_of(rule: Rule | None) -> str | None:
    """Return the key of the bucket that holds an enabled rule, or None for a disabled or deleted rule."""
    if rule is None or not rule.enabled:
        return None
    return keys.bucket(rule.key_type, rule.key_value, secret=rule.secret)


def active_digest(rule: Rule | None) -> str:
    """Return a digest of what edges and workers read of a rule; empty for a disabled or deleted rule."""
    return content_digest(rule) if rule is not None and rule.enabled else ""


def newer_changes(
    changes: Iterable[RuleChange], published: Mapping[str, PublishedRule], floor: int
) -> list[RuleChange]:
    """Return the latest change of each rule that is newer than what is published, so that no late event restores an
    old rule. Changes up to the revision `floor` are old, too.
    """
    latest: dict[str, RuleChange] = {}
    for change in sorted(changes, key=lambda change: change.revision):
        known = published.get(change.rule_id)
        if change.revision > max(floor, known.revision if known else 0) or _repeats(change, known):
            latest[change.rule_id] = change
    return list(latest.values())


def _repeats(change: RuleChange, known: PublishedRule | None) -> bool:
    """Return whether a change is what is published already, which may have to be written again because it was lost."""
    if known is None or change.revision < known.revision:
        return False
    return (known.bucket, known.digest) == (bucket_of(change.rule), active_digest(change.rule))


def plan_writes(
    changes: Iterable[RuleChange], published: Mapping[str, PublishedRule], buckets: Mapping[str, bytes | None]
) -> CacheWrites:
    """Return what newer changes write. `buckets` has the content of every bucket that `buckets_needed` names."""
    contents = {name: {rule["rule_id"]: rule for rule in orjson.loads(data or b"[]")} for name, data in buckets.items()}
    held = {(name, rule_id) for name, rules in contents.items() for rule_id in rules}
    index: Counter[str] = Counter()
    touched: set[str] = set()
    new_states: dict[str, bytes] = {}
    changed: list[str] = []
    for change in changes:
        old, bucket, digest = published.get(change.rule_id), bucket_of(change.rule), active_digest(change.rule)
        new_states[change.rule_id] = PublishedRule(change.revision, bucket, digest).dump()
        same = old is not None and (old.bucket, old.digest) == (bucket, digest)
        if same and (bucket is None or (bucket, change.rule_id) in held):
            continue  # edges and workers read the same as before
        if old is not None and old.bucket is not None:
            contents[old.bucket].pop(change.rule_id, None)
            index.subtract(index_fields(old.bucket))
            touched.add(old.bucket)
        if bucket is not None and change.rule is not None:
            contents[bucket][change.rule_id] = encode_active(change.rule, change.revision)
            index.update(index_fields(bucket))
            touched.add(bucket)
        changed.append(change.rule_id)
    new_buckets = {name: _encode_bucket(contents[name].values()) for name in touched}
    return CacheWrites(new_buckets, new_states, {name: by for name, by in index.items() if by}, changed)


def bucket_digest(content: bytes) -> str:
    """Return the digest that `rules:buckets` holds of a bucket's content."""
    return sha256(content).hexdigest()[:16]


def buckets_needed(changes: Iterable[RuleChange], published: Mapping[str, PublishedRule]) -> list[str]:
    """Return the keys of the buckets that the changes remove a rule from or add one to."""
    needed: set[str | None] = set()
    for change in changes:
        old = published.get(change.rule_id)
        needed |= {bucket_of(change.rule), old.bucket if old else None}
    return sorted(name for name in needed if name is not None)


def _encode_bucket(rules: Iterable[dict[str, Any]]) -> bytes:
    """Return a bucket's content with the first rule to apply first; empty if it has no rules."""
    in_order = sorted(rules, key=_precedence)
    return orjson.dumps(in_order) if in_order else b""


def _precedence(rule: dict[str, Any]) -> tuple[int, int, str]:
    prefix = rule.get("match", {}).get("path_prefix")
    length = 0 if prefix is None else len(prefix_form(prefix))
    return (-rule.get("priority", 0), -length, rule["rule_id"])
