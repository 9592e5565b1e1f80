"""The keys of the rules in the cache Redis."""

from app.limiter.keys import escape, kind

INDEX = "rules:index"
"""Hash: `net4:<length>`, `net6:<length>` and `claim:<name>` to the number of rules that use it."""

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


def bucket(key_type: str, key_value: str | None) -> str:
    """The key that holds the rules of one key: `rule:user:user_123`, `rule:ip:10.0.0.0/8`, `rule:user:*`."""
    value = key_value or ""
    return f"rule:{kind(key_type)}:{value if value == WILDCARD else escape(value)}"
