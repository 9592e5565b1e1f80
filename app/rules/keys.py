"""The keys of the rules in the cache Redis."""

from collections.abc import Sequence

from app.limiter.keys import escape, kind

INDEX = "rules:index"
"""Hash: `net4:<length>`, `net6:<length>`, `claim:<name>`, and for headers `header:<name>` or `secret:<name>` with `*`
or `=` behind it (rules for any value, rules for one), to the number of rules that use it. `composite:` is followed by
such names, joined by `&`."""

VERSION = "rules:version"
"""A number that rises with each change. If it is missing, the rules are unavailable, which is not "no rules"."""

CHANGED = "rules:changed"
"""Channel: JSON `{"version": int, "buckets": [...], "rules": [...]}` for each change."""

STATE = "rules:state"
"""Hash: rule id to JSON `{"revision": int, "bucket": str | null, "digest": str}`; no bucket: deleted or disabled."""

BUCKETS = "rules:buckets"
"""Hash: each bucket that there is to the digest of its content. A bucket that it names and that is gone was lost."""

EPOCH_FIELD = ":epoch"
"""The field of `rules:state`, `rules:index` and `rules:buckets` that holds the epoch: one without it was lost."""

FLOOR = "rules:floor"
"""The revision of the last full publish; nothing older is published after it."""

EPOCH = "rules:epoch"
"""A random word that is lost when the cache is emptied: a full publish completes only in the epoch it began in.
It ends too when one of the hashes is lost."""

WILDCARD = "*"

SECRET = "secret"
"""The family of the keys whose value is the hash of a header. No rule has it as its key type."""


PART_SEPARATOR = "&"
"""Between the parts of a composite key. Escaped values have none."""


def bucket(key_type: str | Sequence[str], key_value: str | Sequence[str] | None, *, secret: bool = False) -> str:
    """The key that holds the rules of one key: `rule:user:user_123`, `rule:ip:10.0.0.0/8`, `rule:user:*`.

    The parts of a composite key are in the order of their texts, whatever the order in the rule:
    `rule:claim:tenant:acme&user:*`. `secret`: the rule counts headers by the hashes of their values.
    """
    if isinstance(key_type, str):
        return f"rule:{_part(key_type, str(key_value or ''), secret=secret)}"
    parts = [_part(one, value, secret=secret) for one, value in zip(key_type, key_value or (), strict=True)]
    return f"rule:{PART_SEPARATOR.join(sorted(parts))}"


def _part(key_type: str, value: str, *, secret: bool) -> str:
    return f"{key_kind(key_type, secret=secret)}:{value if value == WILDCARD else escape(value)}"


def key_kind(key_type: str, *, secret: bool) -> str:
    """What the keys of a rule begin with: its key type, or `secret:<name>` for a header that is counted by its hash."""
    written = kind(key_type)
    return f"{SECRET}:{written.removeprefix('header:')}" if secret and written.startswith("header:") else written
