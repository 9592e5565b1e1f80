"""Composite keys: rules that count by several key types at once, with one counter for each combination of values.

The keys of their buckets and the descriptors are the parts' own, joined by `&` in the order of their texts; no part
holds an unescaped `&`. `rules:index` says which combinations of one value (`=`) and any value (`*`) rules use, so that
a caller's rules are found in as many look-ups: at most 16 for each composite key type.
"""

from collections.abc import Sequence

from app.identity.caller import Caller, claim_text
from app.limiter.keys import escape, unescaped_name
from app.rules.keys import PART_SEPARATOR, SECRET, WILDCARD
from app.rules.lookup import ANY, COMPOSITE, HEADER, ONE, Key, KeyIndex


def composite_keys(caller: Caller, index: KeyIndex) -> list[list[Key]]:
    """The caller's keys, one list for each composite key type: first those of more parts, then by their texts."""
    by_kinds: dict[tuple[str, ...], list[Key]] = {}
    for pattern in index.of(COMPOSITE):
        parts = pattern.split(PART_SEPARATOR)
        kinds = tuple(part[:-1] for part in parts)
        values = [_value(kind, caller) for kind in kinds]
        if None not in values:
            key = _key(parts, [escape(value) for value in values if value is not None])
            by_kinds.setdefault(kinds, []).append(key)
    return [by_kinds[kinds] for kinds in sorted(by_kinds, key=lambda kinds: (-len(kinds), kinds))]


def _key(parts: Sequence[str], values: Sequence[str]) -> Key:
    """The key of one pattern; it ranks by how many of its parts have one value."""
    pairs = [(part[:-1], part[-1], value) for part, value in zip(parts, values, strict=True)]
    written = [f"{kind}:{WILDCARD if which == ANY else value}" for kind, which, value in pairs]
    counted = [f"{_shown(kind)}:{value}" for kind, _, value in pairs]
    exact = sum(part[-1] == ONE for part in parts)
    return Key(f"rule:{PART_SEPARATOR.join(written)}", PART_SEPARATOR.join(counted), exact)


def _shown(kind: str) -> str:
    """How descriptors name a part: a header by its name, whether it is secret or not."""
    return HEADER + kind.removeprefix(SECRET) if kind.startswith(f"{SECRET}:") else kind


def _value(kind: str, caller: Caller) -> str | None:
    family, _, name = kind.partition(":")
    match family:
        case "user":
            return caller.subject
        case "ip":
            return caller.address
        case "claim":
            return claim_text(caller.claims.get(unescaped_name(name)))
        case _:
            return caller.header_keys.get(f"{family}:{unescaped_name(name)}")


def composite_field(bucket_name: str) -> str:
    """The field of `rules:index` that counts each rule of a composite key's bucket."""
    parts = bucket_name.removeprefix("rule:").split(PART_SEPARATOR)
    return f"{COMPOSITE}:{PART_SEPARATOR.join(map(_pattern, parts))}"


def _pattern(part: str) -> str:
    family, _, rest = part.partition(":")
    if family in {"user", "ip"}:
        return family + (ANY if rest == WILDCARD else ONE)
    name, _, value = rest.partition(":")
    return f"{family}:{name}{ANY if value == WILDCARD else ONE}"
