"""The key types of rules: whom a rule counts, and how that value is read from a caller.

To add one, write a class with the attributes and methods of `KeyType` and add an instance to `KEY_TYPES`, whose order
is the order of decision. Everything else reads that table: the rule model validates by it, `app/rules/match.py` finds
a caller's rules by it, and `sync/plan.py` keeps the index by it. A key type that needs more of a request than subject,
claims and address also needs a field in `app/identity/caller.py`.
"""

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv6Network, ip_address, ip_network
from typing import Final, Protocol

from app.identity.addresses import IPV6_PREFIX, counted_as, plain_network
from app.identity.caller import Caller, claim_text
from app.limiter.keys import descriptor, unescaped_name
from app.rules.composite_keys import composite_field
from app.rules.keys import PART_SEPARATOR, SECRET, WILDCARD, bucket
from app.rules.lookup import ANY, HEADER, ONE, Key, KeyIndex

DEFAULT = "default"
"""The key type of rules that apply only where no other rule does; it has no key value and is not in the table."""

_FIELD_VALUE: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f]*")

EXACT_RANK = 1000
WILDCARD_RANK = 0


class KeyType(Protocol):
    """What differs between key types. `family` is the word before the colon, or the whole of a key type without one."""

    family: str
    pattern: str
    """A regular expression for `key_type`."""
    example: str
    """How error messages write it."""
    is_named: bool
    """Whether a name follows the family, as in `claim:<name>`."""

    def value(self, caller: Caller, name: str) -> str | None:
        """What counts a caller; None where nothing does. `name` is empty where the key type has none."""
        ...

    def normal_form(self, key_value: str) -> str:
        """A rule's `key_value`, which is not `*`, in the form in which callers are counted. Raises ValueError."""
        ...

    def keys(self, caller: Caller, index: KeyIndex) -> Iterable[Sequence[Key]]:
        """The caller's keys, one sequence for each key type of the family that may have rules."""
        ...

    def index_fields(self, key: str) -> list[str]:
        """The fields of `rules:index` that count a rule; `key` is its bucket's name after the family."""
        ...


class _User:
    family = pattern = example = "user"
    is_named = False

    def value(self, caller: Caller, name: str) -> str | None:
        """The subject of the token."""
        return caller.subject

    def normal_form(self, key_value: str) -> str:
        """Any text may be a subject."""
        return key_value

    def keys(self, caller: Caller, index: KeyIndex) -> Iterable[Sequence[Key]]:
        subject = self.value(caller, "")
        return () if subject is None else (_exact_and_wildcard(self.family, subject),)

    def index_fields(self, key: str) -> list[str]:
        return []


class _Claim:
    family = "claim"
    pattern = "claim:[A-Za-z0-9_][A-Za-z0-9_:/-]{0,127}"
    example = "claim:<name>"
    is_named = True

    def value(self, caller: Caller, name: str) -> str | None:
        """The text of a claim of the token."""
        return claim_text(caller.claims.get(name))

    def normal_form(self, key_value: str) -> str:
        """Any text may be a claim's value."""
        return key_value

    def keys(self, caller: Caller, index: KeyIndex) -> Iterable[Sequence[Key]]:
        values = ((name, self.value(caller, name)) for name in index.of(self.family))
        return [_exact_and_wildcard(f"claim:{name}", value) for name, value in values if value is not None]

    def index_fields(self, key: str) -> list[str]:
        return [f"claim:{unescaped_name(key.partition(':')[0])}"]


class _Header:
    """Counts by the text of a header, and by its hash for rules that say so; both are one key type."""

    pattern = "header:[!#$%&'*+.^`|~0-9a-z-]{1,64}"
    example = "header:<name>"
    is_named = True

    def __init__(self, family: str) -> None:
        self.family = family

    def value(self, caller: Caller, name: str) -> str | None:
        """The text of a header, or its hash."""
        return caller.header_keys.get(f"{self.family}:{name}")

    def normal_form(self, key_value: str) -> str:
        """A value that a header can have."""
        if key_value != key_value.strip(" \t") or not _FIELD_VALUE.fullmatch(key_value):
            raise ValueError("no header has control characters, or white space around its value")
        return key_value

    def keys(self, caller: Caller, index: KeyIndex) -> Iterable[Sequence[Key]]:
        """The keys of each header that the caller sent: those of its hash, then those of its text."""
        by_name: dict[str, list[Key]] = {}
        for of in (_SECRET_HEADER, self):
            for used in index.of(of.family):
                name, kind_of_rules = used[:-1], used[-1]
                value = of.value(caller, name)
                if value is not None:
                    by_name.setdefault(name, []).append(_header_key(of.family, name, value, kind_of_rules))
        return [by_name[name] for name in sorted(by_name)]

    def index_fields(self, key: str) -> list[str]:
        name, _, value = key.partition(":")
        return [f"{self.family}:{unescaped_name(name)}{ANY if value == WILDCARD else ONE}"]


class _Ip:
    family = pattern = example = "ip"
    is_named = False

    def value(self, caller: Caller, name: str) -> str | None:
        """The address as it is counted."""
        return caller.address

    def normal_form(self, key_value: str) -> str:
        """An IPv4-mapped IPv6 address or network is the IPv4 one. IPv6 is counted by /64, so nothing finer applies."""
        try:
            given = ip_network(key_value, strict=True)
        except ValueError as error:
            raise ValueError(f"must be an address, a network or '*': {error}") from None
        network = plain_network(given)
        if isinstance(network, IPv6Network) and network.prefixlen > IPV6_PREFIX:
            whole = IPv6Network((int(network.network_address), IPV6_PREFIX), strict=False)
            raise ValueError(f"IPv6 is counted by /{IPV6_PREFIX}, all of which one subscriber has: write '{whole}'")
        canonical = str(network) if "/" in key_value else str(network.network_address)
        if key_value != canonical and network == given:
            raise ValueError(f"write it as '{canonical}'")
        return canonical

    def keys(self, caller: Caller, index: KeyIndex) -> Iterable[Sequence[Key]]:
        """The address itself, then its networks from the longest to the shortest, then all addresses."""
        ip = ip_address(caller.address.partition("/")[0])
        longest = IPV6_PREFIX - 1 if ip.version == 6 else ip.max_prefixlen
        lengths = sorted([n for n in map(int, index.of(f"net{ip.version}")) if n <= longest], reverse=True)
        exact, wildcard = _exact_and_wildcard(self.family, caller.address)
        networks = (_network_key(str(ip_network(f"{ip}/{length}", strict=False)), length) for length in lengths)
        return ((exact, *networks, wildcard),)

    def index_fields(self, key: str) -> list[str]:
        if "/" not in key:
            return []
        network = ip_network(key)
        return [f"net{network.version}:{network.prefixlen}"]


_SECRET_HEADER: Final = _Header(SECRET)
"""What the keys of headers are called whose values are hashed; as a key type it is the other one."""

KEY_TYPES: tuple[KeyType, ...] = (_User(), _Claim(), _Header(HEADER), _Ip())

BY_FAMILY = {key_type.family: key_type for key_type in KEY_TYPES}

_FAMILIES: Final[dict[str, KeyType]] = {**BY_FAMILY, SECRET: _SECRET_HEADER}

PART_PATTERN = f"^({'|'.join(key_type.pattern for key_type in KEY_TYPES)})$"
PATTERN = f"^({'|'.join(key_type.pattern for key_type in KEY_TYPES)}|{DEFAULT})$"


def counted_by_default(caller: Caller) -> str:
    """The descriptor that the `default` rule counts: the user if there is one, else the address."""
    return descriptor("ip", caller.address) if caller.subject is None else descriptor("user", caller.subject)


def exact_bucket(key_type: str, value: str) -> str:
    """The bucket of a caller's value; a value that looks like the wildcard is not the wildcard."""
    return f"rule:{descriptor(key_type, value)}"


def _exact_and_wildcard(key_type: str, value: str) -> tuple[Key, Key]:
    counted = descriptor(key_type, value)
    return (
        Key(exact_bucket(key_type, value), counted, EXACT_RANK),
        Key(bucket(key_type, WILDCARD), counted, WILDCARD_RANK),
    )


def _header_key(family: str, name: str, value: str, kind_of_rules: str) -> Key:
    counted = descriptor(f"header:{name}", value)
    if kind_of_rules == ANY:
        return Key(bucket(f"{family}:{name}", WILDCARD), counted, WILDCARD_RANK)
    return Key(exact_bucket(f"{family}:{name}", value), counted, EXACT_RANK)


def headers_of(key_type: str | Sequence[str]) -> tuple[str, ...]:
    """The headers that a key type counts by."""
    parts = (key_type,) if isinstance(key_type, str) else key_type
    return tuple(part.partition(":")[2] for part in parts if part.startswith(f"{HEADER}:"))


def normal_part(key_type: str, key_value: str) -> str:
    """A value of a composite key in the form in which callers are counted. Raises ValueError."""
    normal = BY_FAMILY[key_type.partition(":")[0]].normal_form(key_value)
    if key_type == "ip" and "/" in normal and normal != counted_as(ip_network(normal).network_address):
        raise ValueError("a part of a composite key is one address or '*', not a network")
    return normal


def index_fields(bucket_name: str) -> list[str]:
    """The fields of `rules:index` that count each rule of a bucket."""
    if PART_SEPARATOR in bucket_name:
        return [composite_field(bucket_name, lambda family: _FAMILIES[family].is_named)]
    _, family, key = bucket_name.split(":", 2)
    return _FAMILIES[family].index_fields(key) if family in _FAMILIES else []


def value_of(kind: str, caller: Caller) -> str | None:
    """What counts a caller by a key type as buckets write it (`claim:<name>`); None where nothing does."""
    family, _, name = kind.partition(":")
    return _FAMILIES[family].value(caller, unescaped_name(name))


def _network_key(network: str, length: int) -> Key:
    return Key(bucket("ip", network), descriptor("ip", network), WILDCARD_RANK + 1 + length)
