"""What a command of `penstock drain` is about: a rule or one flow of it, and for how long."""

from collections.abc import Iterable
from dataclasses import dataclass

from app.commands.durations import DURATION, parse_duration
from app.commands.options import flow_id_of
from app.errors import InvalidInput
from app.web.excerpt import one_line


@dataclass(frozen=True, slots=True)
class DrainScope:
    """A rule, or with a descriptor the flows of who is counted so under it. `duration` is None for no end."""

    rule_id: str
    descriptor: str | None = None
    duration: str | None = None

    def __str__(self) -> str:
        return self.rule_id if self.descriptor is None else f"{self.rule_id}, {self.descriptor}"

    def path(self, of_rule: str, *of_flow: str) -> tuple[str, ...]:
        """Return the path of what is set for the rule, or for the flow. Raises InvalidInput for a wrong descriptor."""
        if self.descriptor is None:
            return ("rules", self.rule_id, of_rule)
        return ("flows", flow_id_of(self.rule_id, self.descriptor), *of_flow)

    @property
    def query(self) -> dict[str, str | int] | None:
        """The query that asks for a change for a time. Raises InvalidInput for a wrong duration."""
        if self.duration is None:
            return None
        return {"for_seconds": int(parse_duration(self.duration).total_seconds())}

    @property
    def lasting(self) -> str:
        """How long, as the end of a sentence; empty for no end."""
        return "" if self.duration is None else f" for {self.duration}"


def drain_scope(rule_id: str, values: Iterable[str] | None, descriptor: str | None) -> DrainScope:
    """Return what the options `--for`, each a duration or a descriptor, and `--descriptor` say. Raises InvalidInput."""
    durations: list[str] = []
    descriptors = [] if descriptor is None else [descriptor]
    for value in values or ():
        if DURATION.fullmatch(value):
            durations.append(value)
        elif ":" in value:
            descriptors.append(value)
        else:
            wrong = one_line(repr(value), 80)
            raise InvalidInput(f"--for: {wrong} is neither a duration such as 10m nor a descriptor such as user:alice")
    if len(durations) > 1 or len(descriptors) > 1:
        raise InvalidInput("give one duration and one descriptor at most")
    return DrainScope(rule_id, next(iter(descriptors), None), next(iter(durations), None))


def endless_scope(rule_id: str, values: Iterable[str] | None, descriptor: str | None) -> DrainScope:
    """Return the same for a command whose effect has no end. Raises InvalidInput for a duration too."""
    scope = drain_scope(rule_id, values, descriptor)
    if scope.duration is not None:
        raise InvalidInput("--for: a duration is for `drain set` and `drain pause` only")
    return scope
