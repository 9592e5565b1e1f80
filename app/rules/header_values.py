"""The values of the headers by which rules count, as a request has them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from app.errors import MalformedRequest
from app.limiter.keys import unescaped_name
from app.rules.keys import PART_SEPARATOR, SECRET
from app.rules.lookup import COMPOSITE, HEADER, KeyIndex

MAX_VALUE_BYTES: Final = 1024
"""The longest value of a header by which rules count; as long as a rule's `key_value` may be."""

HeaderValues = tuple[bytes | None, ...]


def header_kinds(index: KeyIndex) -> set[tuple[str, str]]:
    """The headers that rules use: `header` or `secret`, and the name."""
    kinds = {(family, used[:-1]) for family in (HEADER, SECRET) for used in index.of(family)}
    return kinds.union(*map(kinds_of_pattern, index.of(COMPOSITE)))


def kinds_of_pattern(pattern: str) -> set[tuple[str, str]]:
    """The headers that a composite key type uses, as the index writes it."""
    parts = (part[:-1].partition(":") for part in pattern.split(PART_SEPARATOR))
    return {(family, unescaped_name(name)) for family, _, name in parts if family in {HEADER, SECRET}}


def used_headers(index: KeyIndex) -> dict[bytes, int]:
    """The headers that rules use, in the order of their names, and the place of each."""
    names = sorted({name.encode() for _, name in header_kinds(index)})
    return {name: at for at, name in enumerate(names)}


def secret_headers(index: KeyIndex) -> frozenset[str]:
    """The headers whose values no store may hold."""
    return frozenset(name for family, name in header_kinds(index) if family == SECRET)


def header_values(headers: Iterable[tuple[bytes, bytes]], used: Mapping[bytes, int]) -> HeaderValues | None:
    """The values of the headers that rules use; None if the request has none of them. An empty value is none.

    Some app servers read `_` in names as `-`, so both are one header here. Raises MalformedRequest where different
    parts of a system could count or read different values.
    """
    found: list[bytes | None] | None = None
    for name, value in headers:
        at = used.get(name)
        if at is None:
            if b"_" not in name:
                continue
            at = used.get(name.replace(b"_", b"-"))
            if at is None:
                continue
        if found is None:
            found = [None] * len(used)
        known = found[at]
        if known is not None and known != value:
            raise MalformedRequest(f"The request has two {_title(name)} headers with different values.")
        if len(value) > MAX_VALUE_BYTES:
            raise MalformedRequest(f"The {_title(name)} header has more than {MAX_VALUE_BYTES} bytes.")
        found[at] = value
    return None if found is None else _without_empty(found)


def _without_empty(values: Sequence[bytes | None]) -> HeaderValues | None:
    kept = tuple([value or None for value in values])
    return kept if any(kept) else None


def _title(name: bytes) -> str:
    return name.decode("latin-1").replace("_", "-").title()
