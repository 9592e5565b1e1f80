"""Which rules apply to a request: pure decisions over the rules of the caller's keys."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

from app.identity.caller import Caller
from app.limiter.keys import descriptor
from app.rules.active import ActiveRule
from app.rules.keys import WILDCARD, bucket

DEFAULT_BUCKET = bucket("default", None)


@dataclass(frozen=True, slots=True)
class Index:
    """What kinds of keys are in use, so that no look-up is made for one that is not."""

    ipv4_lengths: tuple[int, ...] = ()
    ipv6_lengths: tuple[int, ...] = ()
    claims: tuple[str, ...] = ()

    @classmethod
    def parse(cls, fields: Mapping[bytes, bytes]) -> "Index":
        """From `rules:index`; network lengths come longest first."""
        used = [name.decode() for name, count in fields.items() if int(count) > 0]
        return cls(_lengths(used, "net4:"), _lengths(used, "net6:"), tuple(sorted(_suffixes(used, "claim:"))))


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a caller: where its rules stand, and who is counted by them. `rank`: the more exact, the higher."""

    bucket: str
    key_type: str
    descriptor: str
    rank: int


@dataclass(frozen=True, slots=True, eq=False)
class Match:
    """A rule that applies, and whom it counts. One object for all requests of a plan, and known by identity."""

    rule: ActiveRule
    descriptor: str


_Candidate = tuple[frozenset[str], str | None, str | None, Match]
"""A rule that may apply: its methods, its path prefix, what a path below that begins with."""


@dataclass(frozen=True, slots=True)
class CallerKeys:
    """All keys of a caller, by key type in the order of decision: user, claims, ip; then `default`."""

    by_type: tuple[tuple[Key, ...], ...]
    default: Key
    buckets: tuple[str, ...] = field(default=())


def caller_keys(caller: Caller, index: Index) -> CallerKeys:
    """Every key whose rules may be about this caller."""
    by_type = []
    if caller.subject is not None:
        by_type.append(_exact_and_any("user", caller.subject))
    for name in index.claims:
        value = caller.claims.get(name)
        if isinstance(value, str) and value:
            by_type.append(_exact_and_any(f"claim:{name}", value))
    by_type.append(_address_keys(caller.address, index))
    counted = ("user", caller.subject) if caller.subject is not None else ("ip", caller.address)
    default = Key(DEFAULT_BUCKET, "default", descriptor(*counted), 0)
    buckets = tuple(key.bucket for keys in by_type for key in keys)
    return CallerKeys(tuple(by_type), default, (*buckets, DEFAULT_BUCKET))


class CandidateRules:
    """The rules that may apply to a caller, in the order of precedence: found once for many of its requests.

    A request's rules: of each key type the first that is about it; `default` only where there is none.
    """

    __slots__ = ("_by_type", "_default", "_known")

    def __init__(self, keys: CallerKeys, rules: Mapping[str, Sequence[ActiveRule]]) -> None:
        by_type = (_candidates(of_type, rules) for of_type in keys.by_type)
        self._by_type = tuple(candidates for candidates in by_type if candidates)
        self._default = _candidates((keys.default,), rules)
        self._known: dict[tuple[Match, ...], tuple[Match, ...]] = {}

    def matches(self, method: str, paths: Sequence[str]) -> tuple[Match, ...]:
        """The same object whenever the same rules apply.

        `paths`: every form in which the app server may read the path; where they differ, the stricter rule.
        """
        found = []
        for candidates in self._by_type:
            match = _strictest(candidates, method, paths)
            if match is not None:
                found.append(match)
        if not found and (default := _strictest(self._default, method, paths)) is not None:
            found.append(default)
        matches = tuple(found)
        return self._known.setdefault(matches, matches)


def applicable(
    keys: CallerKeys, rules: Mapping[str, Sequence[ActiveRule]], method: str, paths: Sequence[str]
) -> tuple[Match, ...]:
    """The rules that apply to one request."""
    return CandidateRules(keys, rules).matches(method, paths)


def _candidates(keys: Iterable[Key], rules: Mapping[str, Sequence[ActiveRule]]) -> tuple[_Candidate, ...]:
    found = [(key, rule) for key in keys for rule in rules.get(key.bucket, ())]
    return tuple(_candidate(Match(rule, key.descriptor)) for key, rule in sorted(found, key=_precedence))


def _candidate(match: Match) -> _Candidate:
    prefix = match.rule.path_prefix
    below = None if prefix is None else prefix if prefix.endswith("/") else prefix + "/"
    return match.rule.methods, prefix, below, match


def _strictest(candidates: Sequence[_Candidate], method: str, paths: Sequence[str]) -> Match | None:
    if len(paths) == 1:
        return _first(candidates, method, paths[0])
    firsts = [_first(candidates, method, path) for path in paths]
    chosen = [match for match in firsts if match is not None]
    return min(chosen, key=_permitted, default=None)


def _first(candidates: Sequence[_Candidate], method: str, path: str) -> Match | None:
    for methods, prefix, below, match in candidates:
        if (not methods or method in methods) and (below is None or path == prefix or path.startswith(below)):
            return match
    return None


def _precedence(candidate: tuple[Key, ActiveRule]) -> tuple[int, int, int, str]:
    key, rule = candidate
    return (-rule.priority, -key.rank, -len(rule.path_prefix or ""), rule.rule_id)


def _permitted(match: Match) -> tuple[float, int]:
    policy = match.rule.policy
    return (policy.limit / policy.window_s, policy.burst)


def _exact_and_any(key_type: str, value: str) -> tuple[Key, ...]:
    counted = descriptor(key_type, value)
    return (
        Key(bucket_of(key_type, value), key_type, counted, 1000),
        Key(bucket(key_type, WILDCARD), key_type, counted, 0),
    )


def bucket_of(key_type: str, value: str) -> str:
    """The bucket of a caller's value; a value that looks like the wildcard is not it."""
    return f"rule:{descriptor(key_type, value)}"


def _address_keys(address: str, index: Index) -> tuple[Key, ...]:
    """Exact, networks from the longest to the shortest, then any."""
    ip = ip_address(address.partition("/")[0])
    lengths = index.ipv4_lengths if ip.version == 4 else index.ipv6_lengths
    networks = (str(ip_network(f"{ip}/{length}", strict=False)) for length in lengths)
    own = descriptor("ip", address)
    return (
        Key(bucket("ip", address), "ip", own, 1000),
        *(Key(bucket("ip", n), "ip", descriptor("ip", n), 1 + int(n.partition("/")[2])) for n in networks),
        Key(bucket("ip", WILDCARD), "ip", own, 0),
    )


def _lengths(used: Iterable[str], prefix: str) -> tuple[int, ...]:
    return tuple(sorted((int(length) for length in _suffixes(used, prefix)), reverse=True))


def _suffixes(used: Iterable[str], prefix: str) -> list[str]:
    return [name.removeprefix(prefix) for name in used if name.startswith(prefix)]
