"""Which rules apply to a request: pure decisions over the rules of the caller's keys."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from app.identity.caller import Caller
from app.rules.active import ActiveRule
from app.rules.composite_keys import composite_keys
from app.rules.key_types import DEFAULT, KEY_TYPES, WILDCARD_RANK, counted_by_default, value_of
from app.rules.keys import bucket
from app.rules.lookup import COMPOSITE, Key, KeyIndex

DEFAULT_BUCKET = bucket(DEFAULT, None)


@dataclass(frozen=True, slots=True, eq=False)
class Match:
    """A rule that applies to a request, and whom it counts.

    Compared by identity: the same rule, caller and version of the rules give the same object, so caches can use it as
    a key at no cost.
    """

    rule: ActiveRule
    descriptor: str
    caller: str = ""
    """The descriptor of the caller, whoever the rule counts: `user:alice`, or `ip:192.0.2.1` without a token."""
    stated_cost: int | None = None
    """What the request states that it costs, within the rule's bounds; None: the rule does not let it, or it does not.
    """

    @property
    def cost(self) -> int:
        """Units that the request takes of the rule's quota."""
        return self.rule.cost if self.stated_cost is None else self.stated_cost


_Candidate = tuple[frozenset[str], str | None, str | None, Match]
"""A rule that may apply: its methods, its path prefix, what every path below that prefix begins with, its match."""


@dataclass(frozen=True, slots=True)
class CallerKeys:
    """All keys of a caller, by key type in the order of decision; and the key of the `default` rule."""

    by_type: tuple[tuple[Key, ...], ...]
    default: Key
    buckets: tuple[str, ...]


def caller_keys(caller: Caller, index: KeyIndex) -> CallerKeys:
    """Every key whose rules may apply to this caller."""
    composite = composite_keys(index, partial(value_of, caller=caller)) if index.of(COMPOSITE) else ()
    plain = [keys for key_type in KEY_TYPES for keys in key_type.keys(caller, index)]
    by_type = tuple([tuple(keys) for keys in (*composite, *plain)])
    default = Key(DEFAULT_BUCKET, counted_by_default(caller), WILDCARD_RANK)
    buckets = [key.bucket for keys in by_type for key in keys]
    return CallerKeys(by_type, default, (*buckets, DEFAULT_BUCKET))


class CandidateRules:
    """The rules that may apply to a caller's requests, in their order of precedence; computed once for many requests.

    To a request applies the first matching rule of each key type, and the `default` rule only if there is none. Beside
    these applies the first matching shadow rule of each key type, which takes no other rule's place. If one of them
    allows the request, none of a lower priority applies, whatever its key type.
    """

    __slots__ = ("_by_type", "_default", "_interned", "_may_exempt", "_with_shadows")

    def __init__(self, caller: Caller, keys: CallerKeys, rules: Mapping[str, Sequence[ActiveRule]]) -> None:
        about = {key: [rule for rule in of_key if rule.is_about(caller)] for key, of_key in rules.items()}
        by_type = [_candidates(of_type, about, keys.default.descriptor) for of_type in keys.by_type]
        default = _candidates((keys.default,), about, keys.default.descriptor)
        self._by_type = tuple(filter(None, map(_enforced, by_type)))
        self._default = _enforced(default)
        pairs = tuple((_enforced(candidates), _shadows(candidates)) for candidates in (*by_type, default))
        self._with_shadows = pairs if any(shadows for _, shadows in pairs) else ()
        self._may_exempt = any(match.rule.exempts for of_type in (*by_type, default) for *_, match in of_type)
        self._interned: dict[tuple[Match, ...], tuple[Match, ...]] = {}

    def matches(self, method: str, paths: Sequence[str]) -> tuple[Match, ...]:
        """The rules that apply to a request; the same tuple whenever the same rules apply.

        `paths` holds every form in which the app server may read the path; if they lead to different rules of one key
        type, the rule with the lowest permitted rate applies, and one that allows only if every form leads to one.
        """
        found: list[Match] = []
        if self._with_shadows:
            self._find_with_shadows(found, method, paths)
        else:
            for candidates in self._by_type:
                match = _strictest_match(candidates, method, paths)
                if match is not None:
                    found.append(match)
            if not found and (default := _strictest_match(self._default, method, paths)) is not None:
                found.append(default)
        matches = tuple(_not_exempt(found) if self._may_exempt else found)
        return self._interned.setdefault(matches, matches)

    def _find_with_shadows(self, found: list[Match], method: str, paths: Sequence[str]) -> None:
        any_enforced = False
        *by_type, default = self._with_shadows
        for enforced, shadows in by_type:
            match = _strictest_match(enforced, method, paths)
            any_enforced = any_enforced or match is not None
            found += [one for one in (match, _strictest_match(shadows, method, paths)) if one is not None]
        if not any_enforced:
            found += [one for one in (_strictest_match(of, method, paths) for of in default) if one is not None]


def _candidates(keys: Iterable[Key], rules: Mapping[str, Sequence[ActiveRule]], caller: str) -> tuple[_Candidate, ...]:
    found = [(key, rule) for key in keys for rule in rules.get(key.bucket, ())]
    return tuple(_candidate(Match(rule, key.descriptor, caller)) for key, rule in sorted(found, key=_precedence))


def _enforced(candidates: Sequence[_Candidate]) -> tuple[_Candidate, ...]:
    return tuple(candidate for candidate in candidates if not candidate[-1].rule.shadow)


def _shadows(candidates: Sequence[_Candidate]) -> tuple[_Candidate, ...]:
    return tuple(candidate for candidate in candidates if candidate[-1].rule.shadow)


def _candidate(match: Match) -> _Candidate:
    prefix = match.rule.path_prefix
    below = None if prefix is None else prefix if prefix == "/" else prefix + "/"
    return match.rule.methods, prefix, below, match


def _strictest_match(candidates: Sequence[_Candidate], method: str, paths: Sequence[str]) -> Match | None:
    if len(paths) == 1:
        return _first_match(candidates, method, paths[0])
    firsts = [_first_match(candidates, method, path) for path in paths]
    found = [match for match in firsts if match is not None]
    refusing = [match for match in found if match.rule.action != "allow"]
    if refusing or len(found) < len(firsts):
        return min(refusing, key=_permitted_rate, default=None)
    return min(found, key=_priority)


def _first_match(candidates: Sequence[_Candidate], method: str, path: str) -> Match | None:
    for methods, prefix, below, match in candidates:
        if (not methods or method in methods) and (below is None or path == prefix or path.startswith(below)):
            return match
    return None


def _precedence(candidate: tuple[Key, ActiveRule]) -> tuple[int, int, int, str]:
    key, rule = candidate
    return (-rule.priority, -key.rank, -len(rule.path_prefix or ""), rule.rule_id)


def _permitted_rate(match: Match) -> tuple[float, int]:
    """Nothing, where the rule blocks; any, where it limits nothing but how many requests are in flight."""
    if match.rule.action == "block":
        return (0.0, 0)
    rates = [policy for policy in match.rule.policies if not policy.limits_concurrency]
    return min(((policy.limit / policy.counted_window_us, policy.burst) for policy in rates), default=(math.inf, 0))


def _priority(match: Match) -> int:
    return match.rule.priority


def _not_exempt(found: Sequence[Match]) -> Sequence[Match]:
    """The rules that apply beside those that allow the request: none of a lower priority."""
    allowed = [match.rule.priority for match in found if match.rule.exempts]
    return [match for match in found if match.rule.priority >= max(allowed)] if allowed else found
