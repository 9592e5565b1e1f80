"""Publishes rules into the cache Redis, in the form that edges and workers read."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import orjson
from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import RedisError
from tenacity import AsyncRetrying, retry_if_result, stop_after_attempt, wait_random

from app.errors import RulesUnavailable
from app.redis_wire.scripts import Argument, source
from app.rules import keys
from sync.bulk_writes import batches
from sync.plan import (
    CacheWrites,
    PublishedRule,
    RuleChange,
    bucket_digest,
    buckets_needed,
    newer_changes,
    plan_writes,
)

BATCH_SIZE = 200
SCAN_COUNT = 1000
MAX_WRITE_ATTEMPTS = 50
VERIFIED_AT_ONCE = 500
HASHES = (keys.STATE, keys.INDEX, keys.BUCKETS)


class Publisher:
    """Writes rules into one cache Redis. Several publishers may write at once: the later revision wins in any order.

    Methods raise RulesUnavailable when the cache Redis cannot be reached.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._publish_script = redis.register_script(source("sync", "publish"))
        self._complete_script = redis.register_script(source("sync", "complete"))
        self._begin_script = redis.register_script(source("sync", "begin"))
        self._sweep_script = redis.register_script(source("sync", "sweep"))
        self._cursor = 0

    async def is_complete(self) -> bool:
        """Return whether the cache has all rules. A cache that was emptied has lost its version."""
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.exists(keys.VERSION)
        pipeline.get(keys.EPOCH)
        for name in HASHES:
            pipeline.hget(name, keys.EPOCH_FIELD)
        with _redis_errors():
            has_version, epoch, *epochs = await pipeline.execute()
        return bool(has_version) and epoch is not None and all(found == epoch for found in epochs)

    async def next_page_is_whole(self) -> bool:
        """Check the next page of buckets, and return whether each of them has the content that was published."""
        with _redis_errors():
            self._cursor, page = await self._redis.hscan(keys.BUCKETS, self._cursor, count=VERIFIED_AT_ONCE)
            return not await self._damaged_of(_buckets(page))

    async def damaged(self) -> frozenset[str]:
        """Check all buckets, in pages, and return those that do not have the content that was published."""
        found: set[str] = set()
        cursor, begun = 0, False
        while cursor or not begun:
            begun = True
            with _redis_errors():
                cursor, page = await self._redis.hscan(keys.BUCKETS, cursor, count=VERIFIED_AT_ONCE)
                found |= await self._damaged_of(_buckets(page))
        return frozenset(found)

    async def _damaged_of(self, names: Sequence[bytes]) -> set[str]:
        """Compare contents and digests as of one moment."""
        if not names:
            return set()
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.mget(names)
        pipeline.hmget(keys.BUCKETS, [name.decode() for name in names])
        contents, digests = await pipeline.execute()
        return {
            name.decode()
            for name, content, digest in zip(names, contents, digests, strict=True)
            if digest is not None and bucket_digest(content or b"") != digest.decode()
        }

    async def publish(self, changes: Sequence[RuleChange]) -> int:
        """Publish changes. Return how many rules changed for edges and workers."""
        return sum([await self._publish_batch(batch) for batch in batches(changes, BATCH_SIZE)])

    async def publish_at_once(self, changes: Sequence[RuleChange]) -> int:
        """Publish changes in one step, so that nobody sees some of them only. Return how many rules changed."""
        return await self._publish_batch(changes)

    async def published(self) -> tuple[bytes, dict[str, PublishedRule]]:
        """Return the epoch of the cache, which ends when the cache is emptied, and what is published in it."""
        names = [keys.EPOCH, keys.VERSION, keys.FLOOR, *HASHES]
        epoch, begins = await _run(self._begin_script, names, [uuid4().hex, keys.EPOCH_FIELD])
        with _redis_errors():
            if begins:
                await self._sweep()
            scan = self._redis.hscan_iter(keys.STATE, count=SCAN_COUNT)
            found = {rule_id.decode(): _published(data) async for rule_id, data in scan}
        return epoch, {rule_id: published for rule_id, published in found.items() if published is not None}

    async def _sweep(self) -> None:
        """Remove the buckets of an epoch that has ended."""
        page: list[str] = []
        async for name in self._redis.scan_iter(match="rule:*", count=SCAN_COUNT):
            page.append(name.decode())
            if len(page) == BATCH_SIZE:
                await self._sweep_script(keys=[keys.BUCKETS, *page])
                page = []
        if page:
            await self._sweep_script(keys=[keys.BUCKETS, *page])

    async def eviction_policy(self) -> str:
        """Return what the cache Redis does when its memory is full."""
        with _redis_errors():
            return str((await self._redis.info("memory")).get("maxmemory_policy", "noeviction"))

    async def complete(self, revision: int, epoch: bytes, tombstones: Iterable[tuple[str, PublishedRule]]) -> None:
        """Mark the cache as complete: all rules as of `revision` are published. The tombstones are removed.

        Raises RulesUnavailable also if the cache was emptied since `epoch` was read.
        """
        arguments: list[Argument] = [revision, keys.CHANGED, epoch]
        for rule_id, tombstone in tombstones:
            arguments += (rule_id, tombstone.dump())
        names = [keys.STATE, keys.VERSION, keys.FLOOR, keys.EPOCH]
        if await _run(self._complete_script, names, arguments) is None:
            raise RulesUnavailable("The cache Redis was emptied during the full copy, which starts again.")

    async def _publish_batch(self, changes: Sequence[RuleChange]) -> int:
        """Publish a batch, and try again if another sync worker wrote the same rules meanwhile."""
        attempts = AsyncRetrying(
            retry=retry_if_result(lambda written: written is None),
            stop=stop_after_attempt(MAX_WRITE_ATTEMPTS),
            wait=wait_random(0, 0.05),
            retry_error_callback=_give_up,
        )
        return int(await attempts(self._try_batch, changes) or 0)

    async def _try_batch(self, changes: Sequence[RuleChange]) -> int | None:
        """Publish a batch and return how many rules changed, or None if the cache was changed meanwhile."""
        with _redis_errors():
            before = await self._read_snapshot(list({change.rule_id for change in changes}))
            parsed = {rule_id: _published(data) for rule_id, data in before.states.items() if data}
            published = {rule_id: one for rule_id, one in parsed.items() if one is not None}
            newer = newer_changes(changes, published, int(before.floor or 0))
            if not newer:
                return 0
            intact = await self._read_buckets(buckets_needed(newer, published), before.buckets)
        writes = plan_writes(newer, published, intact)
        return len(writes.changed_ids) if await self._write(writes, before) else None

    async def _read_snapshot(self, ids: list[str]) -> "_Snapshot":
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.get(keys.FLOOR)
        pipeline.hmget(keys.STATE, ids)
        floor, states = await pipeline.execute()
        return _Snapshot(floor, dict(zip(ids, states, strict=True)), {})

    async def _read_buckets(self, names: list[str], read: dict[str, bytes | None]) -> dict[str, bytes | None]:
        """Read buckets into `read`, and return them without the contents that are not what was published."""
        if not names:
            return {}
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.mget(names)
        pipeline.hmget(keys.BUCKETS, names)
        contents, digests = await pipeline.execute()
        read.update(zip(names, contents, strict=True))
        return {
            name: content if digest is not None and bucket_digest(content or b"") == digest.decode() else None
            for name, content, digest in zip(names, contents, digests, strict=True)
        }

    async def _write(self, writes: CacheWrites, before: "_Snapshot") -> bool:
        """Run publish.lua, which compares the cache with `before`. Return whether it wrote."""
        names = list(writes.buckets)
        arguments: list[Argument] = [
            before.floor or b"",
            keys.CHANGED,
            orjson.dumps(names),
            orjson.dumps(writes.changed_ids),
            len(writes.states),
            len(writes.index),
        ]
        for name, content in writes.buckets.items():
            arguments += (before.buckets[name] or b"", content, bucket_digest(content))
        for rule_id, state in writes.states.items():
            arguments += (rule_id, before.states[rule_id] or b"", state)
        for field, change in writes.index.items():
            arguments += (field, change)
        fixed = [keys.STATE, keys.INDEX, keys.VERSION, keys.FLOOR, keys.BUCKETS]
        return bool(await _run(self._publish_script, [*fixed, *names], arguments))


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """What was read of the cache before a write: the floor, entries of `rules:state` by rule id, and buckets by key."""

    floor: bytes | None
    states: Mapping[str, bytes | None]
    buckets: dict[str, bytes | None]


async def _run(script: AsyncScript, names: list[str], arguments: list[Argument]) -> Any:  # noqa: ANN401 - any reply
    with _redis_errors():
        return await script(keys=names, args=arguments)


@contextmanager
def _redis_errors() -> Iterator[None]:
    """Raise RulesUnavailable in the place of errors of the cache Redis."""
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise RulesUnavailable(f"The cache Redis does not answer: {error}") from error


def _buckets(page: Iterable[Any]) -> list[bytes]:
    return [name for name in page if name != keys.EPOCH_FIELD.encode()]


def _published(data: bytes) -> PublishedRule | None:
    """Parse an entry of `rules:state`; None for one that sync did not write."""
    try:
        return PublishedRule.parse(data)
    except (ValueError, LookupError, TypeError):
        return None


def _give_up(_: object) -> int:
    raise RulesUnavailable("Other sync workers kept writing the same rules. Publishing starts again.")
