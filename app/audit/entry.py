"""One entry of the audit, and who is named in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import bson

from app.web.headers import CREDENTIALS

Face = Literal["rest", "grpc", "process"]
"""By what something was changed: one face of the admin API, or a process of Penstock by itself."""

MAX_NAME_CHARACTERS = 256
"""The length at which the names of actors are cut."""

MAX_VALUE_BYTES = 256 << 10
"""The size up to which an entry holds what something was before, and what it is after: more than any rule takes."""

_NEVER_RECORDED = {name.decode() for name in CREDENTIALS} | {"set-cookie", "set-cookie2", "password", "token"}


@dataclass(frozen=True, slots=True)
class Actor:
    """Who changes something, and by which face."""

    name: str
    face: Face = "rest"


PENSTOCK = Actor("penstock", "process")
"""What Penstock does by itself, such as ending a temporary rate."""


def _now() -> datetime:
    """The time in milliseconds, as MongoDB stores it."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """What one actor did to one target. `action` is `<kind>.<what was done>`, such as `rule.changed`.

    `before` and `after` are JSON values: what the target was and what it is; None where there is nothing to tell.
    """

    actor: Actor
    action: str
    target: str
    before: Any = None
    after: Any = None
    at: datetime = field(default_factory=_now)

    def to_document(self) -> dict[str, Any]:
        """Write the entry as a MongoDB document, without credentials."""
        return {
            "at": self.at,
            "actor": self.actor.name[:MAX_NAME_CHARACTERS],
            "face": self.actor.face,
            "kind": self.action.partition(".")[0],
            "action": self.action,
            "target": self.target,
            "before": _bounded(without_credentials(self.before)),
            "after": _bounded(without_credentials(self.after)),
        }


def without_credentials(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return a JSON value without the members that hold credentials, by their names in any case."""
    if isinstance(value, Mapping):
        kept = {name: each for name, each in value.items() if str(name).lower() not in _NEVER_RECORDED}
        return {name: without_credentials(each) for name, each in kept.items()}
    if isinstance(value, list | tuple):
        return [without_credentials(each) for each in value]
    return value


def _bounded(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return the value, or only its size where it is too large to be kept for every change."""
    size = len(bson.encode({"value": value}))
    return value if size <= MAX_VALUE_BYTES else {"omitted_bytes": size}
