"""The headers by which rules may count (`PENSTOCK_KEY_HEADERS`): in rules that are written, and in requests."""

from collections.abc import Mapping, Set
from typing import Any, Final

import structlog

from app.errors import InvalidRule
from app.rules.header_values import HeaderValues, header_kinds, kinds_of_pattern, used_headers
from app.rules.key_types import headers_of
from app.rules.keys import SECRET, WILDCARD
from app.rules.lookup import COMPOSITE, HEADER, KeyIndex
from app.rules.model import Rule, parse_rule
from app.rules.secret_values import hashed, is_hashed
from app.settings import Settings

log = structlog.get_logger()


class KeyHeaders:
    """Which headers rules may use in this process, and how the values of those that are secret are hashed."""

    def __init__(self, settings: Settings) -> None:
        self.names: Final = frozenset(settings.key_headers)
        self._secret = settings.key_secret.encode() if settings.key_secret else None
        self._reported: frozenset[tuple[str, str]] = frozenset()

    def admit(self, fields: Any) -> Rule:  # noqa: ANN401 - whatever a person wrote
        """Validate a rule that somebody writes, and hash its value if that is secret; raises InvalidRule."""
        return self.admitted(parse_rule(fields, plain_secrets=True))

    def admitted(self, rule: Rule) -> Rule:
        """The rule as it may be stored: with the hash of its value if that is secret.

        Raises InvalidRule for a header that the settings of this process do not name.
        """
        problem = self.problem(rule)
        if problem is not None:
            raise InvalidRule(problem)
        return rule.model_copy(update={"key_value": self._stored_value(rule)}) if rule.secret else rule

    def _stored_value(self, rule: Rule) -> str | list[str] | None:
        if isinstance(rule.key_type, str):
            return self._stored_part(rule.key_type, str(rule.key_value))
        return [self._stored_part(*part) for part in zip(rule.key_type, rule.key_value or (), strict=True)]

    def _stored_part(self, key_type: str, value: str) -> str:
        if self._secret is None or not headers_of(key_type) or value == WILDCARD or is_hashed(value):
            return value
        return hashed(value.encode(), self._secret)

    def problem(self, rule: Rule) -> str | None:
        """Why this process cannot use a rule; None if it can."""
        for name in headers_of(rule.key_type):
            if name not in self.names:
                return f"key_type: the header {name} is not among those of PENSTOCK_KEY_HEADERS"
        if rule.secret and self._secret is None:
            return "secret: PENSTOCK_KEY_SECRET is not set, so values cannot be hashed"
        return None

    def usable(self, index: KeyIndex) -> KeyIndex:
        """The index without the headers that this process cannot use, which it reports when they change."""
        kinds = header_kinds(index)
        unusable = {one for one in kinds if not self._usable(*one)}
        if kinds or self._reported:
            self._report(unusable)
        if not unusable:
            return index
        kept = {
            family: tuple(used for used in index.of(family) if (family, used[:-1]) not in unusable)
            for family in (HEADER, SECRET)
        }
        composite = tuple(one for one in index.of(COMPOSITE) if not kinds_of_pattern(one) & unusable)
        return KeyIndex({**index.names, **kept, COMPOSITE: composite})

    def _usable(self, family: str, name: str) -> bool:
        return name in self.names and (family == HEADER or self._secret is not None)

    def _report(self, unusable: Set[tuple[str, str]]) -> None:
        if unusable != self._reported:
            self._reported = frozenset(unusable)
            for family, name in sorted(unusable):
                setting = "PENSTOCK_KEY_SECRET" if name in self.names else "PENSTOCK_KEY_HEADERS"
                log.error("rules_unusable", key_type=f"{HEADER}:{name}", secret=family == SECRET, setting=setting)

    def keys(self, index: KeyIndex, values: HeaderValues) -> Mapping[str, str]:
        """`Caller.header_keys` of a request in which the headers that the index uses have these values."""
        by_name = dict(zip(used_headers(index), values, strict=True))
        keys: dict[str, str] = {}
        for family, name in header_kinds(index):
            value = by_name[name.encode()]
            if value is not None:
                secret = self._secret if family == SECRET else None
                keys[f"{family}:{name}"] = _text(value) if secret is None else hashed(value, secret)
        return keys


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
