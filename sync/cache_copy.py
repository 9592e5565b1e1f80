"""One full copy of the rules into the cache Redis: writes what differs, then removes what no longer exists."""

from collections.abc import Iterable
from itertools import islice
from typing import Self

from app.rules.model import Rule
from sync.plan import PublishedRule, RuleChange, active_digest, bucket_of
from sync.publisher import Publisher

MAX_TOMBSTONES = 200
"""How many tombstones one copy removes."""


class CacheCopy:
    """A full copy of the rules as of one revision. Methods raise RulesUnavailable."""

    def __init__(
        self,
        publisher: Publisher,
        revision: int,
        epoch: bytes,
        published: dict[str, PublishedRule],
        damaged: frozenset[str] = frozenset(),
    ) -> None:
        self._publisher = publisher
        self._revision = revision
        self._epoch = epoch
        self._unseen = published
        self._damaged = damaged
        self._repairs: dict[str, list[RuleChange]] = {}
        covered = ((i, rule) for i, rule in published.items() if rule.bucket is None and rule.revision <= revision)
        self._tombstones = list(islice(covered, MAX_TOMBSTONES))

    @classmethod
    async def begin(cls, publisher: Publisher, revision: int) -> Self:
        """Begin a copy of the rules as they were at `revision`."""
        return cls(publisher, revision, *await publisher.published(), await publisher.damaged())

    async def add(self, rules: Iterable[Rule], revision: int) -> int:
        """Publish rules that existed at `revision`. Return how many differed from what was published."""
        changes = []
        for rule in rules:
            published = self._unseen.pop(rule.rule_id, None)
            bucket = bucket_of(rule)
            if bucket is not None and bucket in self._damaged:
                self._repairs.setdefault(bucket, []).append(RuleChange(rule.rule_id, revision, rule))
            elif published is None or published.digest != active_digest(rule):
                changes.append(RuleChange(rule.rule_id, revision, rule))
        return await self._publisher.publish(changes)

    def keep(self, rule_ids: Iterable[str]) -> None:
        """Leave published what is published of these rules: they exist, but their documents are invalid."""
        for rule_id in rule_ids:
            self._unseen.pop(rule_id, None)

    async def end(self) -> int:
        """Remove the rules that were not added and mark the cache as complete. Return how many were removed."""
        deletions = [
            RuleChange(rule_id, self._revision, None)
            for rule_id, published in self._unseen.items()
            if published.bucket is not None
        ]
        for changes in self._repairs.values():
            await self._publisher.publish_at_once(changes)
        removed = await self._publisher.publish(deletions)
        await self._publisher.complete(self._revision, self._epoch, self._tombstones)
        return removed
