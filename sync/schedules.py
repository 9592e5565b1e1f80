"""Publishes rules with schedules anew when what is in force of them changes.

What is published of a rule is a function of its document and the time of the revision, so that several sync workers
agree, and a later revision is never less right than an earlier one.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from app.rules.in_force import in_force, next_scheduled_change
from app.rules.model import Rule
from sync.bulk_writes import batches
from sync.plan import RuleChange, time_of_revision

AT_ONCE = 100
"""The schedules of how many rules are looked at in one turn of the event loop."""


class _Noted(NamedTuple):
    """When a rule has to be published anew, by what it was at a revision."""

    at: datetime
    revision: int


async def published_forms(changes: Sequence[RuleChange]) -> list[RuleChange]:
    """Return the changes with what is in force of each rule at the time of its revision.

    That takes up to a millisecond for each rule, so others have their turns meanwhile.
    """
    forms: list[RuleChange] = []
    for batch in batches(changes, AT_ONCE):
        forms += map(published_form, batch)
        await asyncio.sleep(0)
    return forms


def published_form(change: RuleChange) -> RuleChange:
    """Return the change with what is in force of the rule at the time of the revision."""
    if change.rule is None or change.rule.schedule is None:
        return change
    return RuleChange(change.rule_id, change.revision, in_force(change.rule, time_of(change.revision)))


class Schedules:
    """When which rules have to be published anew."""

    def __init__(self) -> None:
        self._noted: dict[str, _Noted] = {}
        self._earliest: datetime | None = None

    async def note(self, changes: Sequence[RuleChange]) -> None:
        """Note when what is in force of these rules changes after their revisions. An older revision is ignored.

        They must have been published: until then what was noted before is due.
        """
        for batch in batches(changes, AT_ONCE):
            for change in batch:
                self._note(change)
            await asyncio.sleep(0)

    def _note(self, change: RuleChange) -> None:
        known = self._noted.get(change.rule_id)
        if known is not None and change.revision < known.revision:
            return
        following = _next_change(change.rule, change.revision)
        if following is not None:
            self._noted[change.rule_id] = _Noted(following, change.revision)
            self._earliest = min(following, self._earliest or following)
        elif known is not None:
            del self._noted[change.rule_id]

    def due(self, now: datetime) -> list[str]:
        """Return the ids of the rules that have to be published anew by now, until they are noted again.

        It looks at them only when one is due.
        """
        if self._earliest is None or now < self._earliest:
            return []
        self._earliest = min((noted.at for noted in self._noted.values()), default=None)
        return [rule_id for rule_id, noted in self._noted.items() if noted.at <= now]


def _next_change(rule: Rule | None, revision: int) -> datetime | None:
    if rule is None or rule.schedule is None or not rule.enabled:
        return None
    return next_scheduled_change(rule, time_of(revision))


def time_of(revision: int) -> datetime:
    """Return the time of a revision."""
    return datetime.fromtimestamp(time_of_revision(revision), UTC)
