"""One full copy into the cache Redis, batch by batch: what differs is written, what is gone goes."""

from collections.abc import Iterable
from itertools import islice
from typing import Self

from app.rules.model import Rule
from sync.plan import Change, State, digest_of
from sync.publisher import Publisher

MOST_TOMBSTONES = 200


class Copying:
    """A copy of the rules, begun as of one revision. Every method raises RulesUnavailable."""

    def __init__(self, publisher: Publisher, revision: int, epoch: bytes, states: dict[str, State]) -> None:
        self._publisher = publisher
        self._revision = revision
        self._epoch = epoch
        self._unseen = states
        covered = ((i, state) for i, state in states.items() if state.bucket is None and state.revision <= revision)
        self._tombstones = list(islice(covered, MOST_TOMBSTONES))

    @classmethod
    async def begin(cls, publisher: Publisher, revision: int) -> Self:
        """A copy of the rules as they were at `revision`."""
        return cls(publisher, revision, *await publisher.states())

    async def add(self, rules: Iterable[Rule], revision: int) -> int:
        """These were there at `revision`; how many of them were not published like this."""
        changes = []
        for rule in rules:
            state = self._unseen.pop(rule.rule_id, None)
            if state is None or state.digest != digest_of(rule):
                changes.append(Change(rule.rule_id, revision, rule))
        return await self._publisher.publish(changes)

    def keep(self, rule_ids: Iterable[str]) -> None:
        """These are there too, though not readable: what is published stays."""
        for rule_id in rule_ids:
            self._unseen.pop(rule_id, None)

    async def end(self) -> int:
        """Remove what was not seen, and say that the rules are complete; how many were removed."""
        gone = [
            Change(rule_id, self._revision, None) for rule_id, state in self._unseen.items() if state.bucket is not None
        ]
        removed = await self._publisher.publish(gone)
        await self._publisher.complete(self._revision, self._epoch, self._tombstones)
        return removed
