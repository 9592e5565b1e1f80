"""A rule as operators write it, and a full copy of rules into the cache without a MongoDB."""

from collections.abc import Iterable

from app.audit.entry import Actor
from app.rules.model import Rule
from sync.cache_copy import CacheCopy
from sync.publisher import Publisher

RULE = {"rule_id": "r", "key_type": "user", "key_value": "u", "limit": 5, "window_seconds": 60}
OPS = Actor("ops")


async def publish_all(
    publisher: Publisher, rules: Iterable[Rule], revision: int, unreadable: Iterable[str] = ()
) -> None:
    copying = await CacheCopy.begin(publisher, revision)
    await copying.add(rules, revision)
    copying.keep(unreadable)
    await copying.end()
