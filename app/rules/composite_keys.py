"""Composite keys: rules that count by several key types at once, with one counter for each combination of values.

The keys of their buckets and the descriptors are the parts' own, joined by `&` in the order of their texts; no part
holds an unescaped `&`. `rules:index` says which combinations of one value (`=`) and any value (`*`) rules use, so that
a caller's rules are found in as many look-ups: at most 16 for each composite key type.
"""

from collections.abc import Callable, Sequence

from app.limiter.keys import escape
from app.rules.keys import PART_SEPARATOR, SECRET, WILDCARD
from app.rules.lookup import ANY, COMPOSITE, HEADER, ONE, Key, KeyIndex


def composite_keys(index: KeyIndex, value_of: Callable[[str], str | None]) -> list[list[Key]]:
    """A caller's keys, one list for each composite key type: first those of more parts, then by their texts.

    `value_of` says what counts the caller by a key type.
    """
    by_kinds: dict[tuple[str, ...], list[Key]] = {}
    for pattern in index.of(COMPOSITE):
        parts = pattern.split(PART_SEPARATOR)
        kinds = tuple(part[:-1] for part in parts)
        values = [value_of(kind) for kind in kinds]
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


def composite_field(bucket_name: str, is_named: Callable[[str], bool]) -> str:
    """The field of `rules:index` that counts each rule of a composite key's bucket.

    `is_named` says whether a name follows the family of a key type.
    """
    parts = bucket_name.removeprefix("rule:").split(PART_SEPARATOR)
    return f"{COMPOSITE}:{PART_SEPARATOR.join(_pattern(part, is_named) for part in parts)}"


def _pattern(part: str, is_named: Callable[[str], bool]) -> str:
    kind, _, value = part.partition(":")
    if is_named(kind):
        name, _, value = value.partition(":")
        kind = f"{kind}:{name}"
    return kind + (ANY if value == WILDCARD else ONE)
