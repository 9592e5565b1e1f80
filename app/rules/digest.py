"""Digests of what a rule says, by which its versions are told apart."""

from hashlib import sha256

from app.rules.model import STORE_FIELDS, Rule


def content_digest(rule: Rule) -> str:
    """Return a digest of a rule without the fields that the store maintains."""
    fields = rule.model_dump_json(exclude_defaults=True, exclude=set(STORE_FIELDS))
    return sha256(fields.encode()).hexdigest()[:16]


def etag_of(rule: Rule) -> str:
    """Return the entity tag of a rule: its version and its content, because MongoDB's clients may keep the version."""
    return f'"{rule.version}-{content_digest(rule)}"'
