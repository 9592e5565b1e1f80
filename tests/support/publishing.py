"""A full copy of rules into the cache, without a MongoDB."""

from collections.abc import Iterable

from app.rules.model import Rule
from sync.copying import Copying
from sync.publisher import Publisher


async def publish_all(
    publisher: Publisher, rules: Iterable[Rule], revision: int, unreadable: Iterable[str] = ()
) -> None:
    copying = await Copying.begin(publisher, revision)
    await copying.add(rules, revision)
    copying.keep(unreadable)
    await copying.end()
