"""Where a caller's rules stand in the cache Redis, and which of these places the rules use at all."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from app.rules.keys import EPOCH_FIELD

HEADER: Final = "header"
COMPOSITE: Final = "composite"
ANY, ONE = "*", "="
"""What ends a name in the index: rules for every value use it, or rules for one value."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a caller: where its rules stand, and whom they count. `rank`: the more exact, the higher."""

    bucket: str
    descriptor: str
    rank: int


@dataclass(frozen=True, slots=True)
class KeyIndex:
    """Which names and network lengths the rules use, so that only keys that may have rules are looked up."""

    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def parse(cls, fields: Mapping[bytes, bytes]) -> "KeyIndex":
        """Read `rules:index`: `<group>:<name>` to the number of rules that use it."""
        names: dict[str, list[str]] = {}
        for written, count in fields.items():
            if written != EPOCH_FIELD.encode() and int(count) > 0:
                group, _, name = written.decode().partition(":")
                names.setdefault(group, []).append(name)
        return cls({group: tuple(sorted(of_group)) for group, of_group in names.items()})

    def of(self, group: str) -> tuple[str, ...]:
        """The names of one group that are in use."""
        return self.names.get(group, ())
