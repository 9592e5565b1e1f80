"""Publishes rules with schedules anew when what is in force of them changes.

What is published of a rule is a function of its document and the time of the revision, so that several sync workers
agree, and a later revision is never less right than an earlier one.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from app.rules.in_force import in_force, next_scheduled_change
from app.rules.model import Rule
from sync.plan import RuleChange, time_of_revision


class _Noted(NamedTuple):
    """When a rule has to be published anew, by what it was at a revision."""

    at: datetime
    revision: int


def published_form(change: RuleChange) -> RuleChange:
    """Return the change with what is in force of the rule at the time of the revision."""
    if change.rule is None or change.rule.schedule is None:
        return change
    return RuleChange(change.rule_id, change.revision, in_force(change.rule, _time_of(change.revision)))


class Schedules:
    """When which rules have to be published anew."""

    def __init__(self) -> None:
        self._noted: dict[str, _Noted] = {}

    def note(self, changes: Iterable[RuleChange]) -> None:
        """Note when what is in force of these rules changes after their revisions. An older revision is ignored."""
        for change in changes:
            known = self._noted.get(change.rule_id)
            if known is not None and change.revision < known.revision:
                continue
            following = _next_change(change.rule, change.revision)
            if following is not None:
                self._noted[change.rule_id] = _Noted(following, change.revision)
            elif known is not None:
                del self._noted[change.rule_id]

    def due(self, now: datetime) -> list[str]:
        """Return the ids of the rules that have to be published anew by now."""
        return [rule_id for rule_id, noted in self._noted.items() if noted.at <= now]


def _next_change(rule: Rule | None, revision: int) -> datetime | None:
    if rule is None or rule.schedule is None or not rule.enabled:
        return None
    return next_scheduled_change(rule, _time_of(revision))


def _time_of(revision: int) -> datetime:
    return datetime.fromtimestamp(time_of_revision(revision), UTC)
