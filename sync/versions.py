"""Decides which version a change of a rule is. All functions are pure."""

from dataclasses import dataclass, replace
from typing import Any

from app.rules.digest import content_digest
from app.rules.model import Rule
from app.rules.store import usable_version
from sync.plan import RuleChange


@dataclass(frozen=True, slots=True)
class Recorded:
    """What is recorded of a rule: its latest version, and the highest that the admin API has given out.

    `digest` is that of the version's content; None if the rule is deleted, or was never recorded.
    """

    version: int = 0
    reserved: int = 0
    revision: int = -1
    digest: str | None = None

    @classmethod
    def of(cls, record: dict[str, Any]) -> "Recorded":
        """Read a record, whatever it holds."""
        version, reserved = usable_version(record.get("version")), usable_version(record.get("reserved"))
        revision, digest = record.get("revision"), record.get("digest")
        return cls(
            version,
            reserved,
            revision if isinstance(revision, int) else -1,
            digest if isinstance(digest, str) else None,
        )


@dataclass(frozen=True, slots=True)
class RuleVersion:
    """A change of a rule to record. `rule` has the version that the change is; None: the rule was deleted."""

    rule_id: str
    revision: int
    version: int
    rule: Rule | None
    digest: str | None
    written_version: int
    """The version that the document has. Another one than `version` was written past the admin API."""


def version_of(change: RuleChange, recorded: Recorded) -> RuleVersion | None:
    """Return the version that a change is, or None if it is not newer than what is recorded, or the same.

    A client of MongoDB may keep the version of what it changes, or start anew at 1. Then the change gets the next
    version, so that no two contents have the same one.
    """
    if change.revision <= recorded.revision:
        return None
    if change.rule is None:
        gone = RuleVersion(change.rule_id, change.revision, recorded.version, None, None, recorded.version)
        return gone if recorded.digest is not None else None
    digest, written = content_digest(change.rule), usable_version(change.rule.version)
    if written > recorded.version:
        version = written
    elif digest == recorded.digest:
        version = recorded.version
    else:
        version = max(recorded.version, recorded.reserved) + 1
    if (version, digest) == (recorded.version, recorded.digest) and version == written:
        return None
    rule = change.rule.model_copy(update={"version": version})
    return RuleVersion(change.rule_id, change.revision, version, rule, digest, change.rule.version)


def recorded_after(version: RuleVersion, before: Recorded) -> Recorded:
    """Return what is recorded once this version is."""
    return replace(before, version=version.version, revision=version.revision, digest=version.digest)
