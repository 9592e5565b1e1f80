"""The rules as edges and workers read them: from memory, or from the cache Redis in one round trip."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from app.errors import RulesUnavailable
from app.identity.caller import Caller
from app.process.lru_cache import TwoGenerationLRUCache
from app.rules import keys
from app.rules.active import ActiveRule, decode_bucket
from app.rules.bucket_entries import BucketEntries, Entry
from app.rules.header_values import HeaderValues, header_values, secret_headers, used_headers
from app.rules.key_headers import KeyHeaders
from app.rules.lookup import KeyIndex
from app.rules.match import CandidateRules, Match, caller_keys
from app.settings import Settings
from app.web.headers import Headers

log = structlog.get_logger()

Listener = Callable[[frozenset[str] | None], None]

VERSION_CHECK_S = 1.0
RECONNECT_PAUSE_S = 0.25
MAX_MOVES = 5


class RuleCache:
    """A bounded cache: an entry is read again when a message names it, and all are when a message may have been missed.

    While the cache Redis can't be reached, or has lost its rules, what was read before stays in force. No look-up waits
    for longer than `deadline_s`; one that needs only what was read before waits for its latest version for at most
    `fallback_after_s`.
    """

    def __init__(
        self,
        redis: Redis,
        settings: Settings,
        deadline_s: float | None = None,
        fallback_after_s: float | None = None,
    ) -> None:
        self._redis = redis
        self._deadline_s = deadline_s
        self._fallback_after_s = deadline_s if fallback_after_s is None else fallback_after_s
        self._key_headers = KeyHeaders(settings)
        self._entries = BucketEntries(settings.rule_cache_size)
        self._candidates_by_caller: TwoGenerationLRUCache[Caller, tuple[CandidateRules, int]] = TwoGenerationLRUCache(
            settings.rule_cache_size
        )
        # Apart from the others, because clients may send another value with each request.
        self._candidates_by_values: TwoGenerationLRUCache[tuple[Caller, HeaderValues], tuple[CandidateRules, int]] = (
            TwoGenerationLRUCache(settings.rule_cache_size, _weight)
        )
        self._used_headers: dict[bytes, int] = {}
        self._secret_headers: frozenset[str] = frozenset()
        self._generation = 0
        self._changes = 0
        self._version: int | None = None
        self._reads: dict[str, asyncio.Task[None]] = {}
        self._listeners: list[Listener] = []

    @property
    def version(self) -> int | None:
        """The latest `rules:version` seen; None before the first read."""
        return self._version

    @property
    def has_rules(self) -> bool:
        """Whether the rules have been read at least once."""
        return self._version is not None

    def on_change(self, listener: Listener) -> None:
        """Call `listener` after each change with the ids of the changed rules, or with None if any may have changed."""
        self._listeners.append(listener)

    @property
    def secret_headers(self) -> frozenset[str]:
        """The headers by which rules count and whose values no store may hold, as of the rules read last."""
        return self._secret_headers

    async def applicable(
        self, caller: Caller, method: str, paths: Sequence[str], headers: Headers | None = None
    ) -> tuple[Match, ...]:
        """The rules that apply to a request, from memory or the cache Redis.

        Raises RulesUnavailable, and MalformedRequest for a header by which rules count and that has two values.
        """
        matches = self.cached_applicable(caller, method, paths, headers)
        return (await self._candidates(caller, headers)).matches(method, paths) if matches is None else matches

    def cached_applicable(
        self, caller: Caller, method: str, paths: Sequence[str], headers: Headers | None = None
    ) -> tuple[Match, ...] | None:
        """The rules that apply to a request, if memory has them; None if they must be read.

        The candidate rules of a caller, and of its header values where rules count by headers, are used until any rule
        changes. Raises MalformedRequest.
        """
        values = header_values(headers, self._used_headers) if self._used_headers and headers else None
        cached = (
            self._candidates_by_caller.get(caller)
            if values is None
            else self._candidates_by_values.get((caller, values))
        )
        return cached[0].matches(method, paths) if cached is not None and cached[1] == self._changes else None

    async def _candidates(self, caller: Caller, headers: Headers | None) -> CandidateRules:
        changes = self._changes
        index: KeyIndex | None = self._fresh(keys.INDEX)
        if index is None:
            index = (await self._values([keys.INDEX]))[keys.INDEX]
        used = used_headers(index)
        values = header_values(headers, used) if used and headers else None
        who = caller if values is None else replace(caller, header_keys=self._key_headers.keys(index, values))
        wanted = caller_keys(who, index)
        candidates = CandidateRules(who, wanted, await self._values(wanted.buckets))
        if changes == self._changes and all(self._is_fresh(name) for name in (keys.INDEX, *wanted.buckets)):
            self._used_headers, self._secret_headers = used, secret_headers(index)
            if values is None:
                self._candidates_by_caller.put(caller, (candidates, changes))
            else:
                self._candidates_by_values.put((caller, values), (candidates, changes))
        return candidates

    async def by_id(self, rule_id: str, *, latest: bool = False) -> ActiveRule | None:
        """The rule with this id; None if it is deleted or disabled, or blocks or allows.

        Raises RulesUnavailable; with `latest` also where only an earlier version can be had now.
        """
        name = _state_name(rule_id)
        for _ in range(MAX_MOVES):
            bucket = (await self._values([name]))[name]
            rules: Sequence[ActiveRule] = () if bucket is None else (await self._values([bucket]))[bucket]
            if latest and not all(self._is_fresh(one) for one in (name, bucket) if one is not None):
                raise RulesUnavailable(f"The latest version of the rule {rule_id} can't be read now.", "stale")
            if bucket is None:
                return None
            for rule in rules:
                if rule.rule_id == rule_id:
                    return rule if rule.has_quota else None
            # It moved to another key between the two reads.
            self._mark_stale(name)
            self._mark_stale(bucket)
        raise RulesUnavailable(f"The rule {rule_id} changes its key faster than it can be read.", "changing")

    async def run(self, stop: asyncio.Event) -> None:
        """Follow the changes that sync publishes, until `stop` is set."""
        while not stop.is_set():
            try:
                async with self._redis.pubsub() as channel:
                    await channel.subscribe(keys.CHANGED)
                    await self._check_version(anything_missed=True)
                    await self._follow(channel, stop)
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("rule_changes_interrupted", error=str(error))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), RECONNECT_PAUSE_S)

    async def _follow(self, channel: Any, stop: asyncio.Event) -> None:  # noqa: ANN401 - redis-py's PubSub is untyped
        loop = asyncio.get_running_loop()
        check_at = loop.time() + VERSION_CHECK_S
        while not stop.is_set():
            message = await channel.get_message(ignore_subscribe_messages=True, timeout=VERSION_CHECK_S / 4)
            if message is not None:
                self._apply_change(orjson.loads(message["data"]))
            if loop.time() >= check_at:
                await self._check_version(anything_missed=False)
                check_at = loop.time() + VERSION_CHECK_S

    def _apply_change(self, change: dict[str, Any]) -> None:
        if self._version is None or change["version"] != self._version + 1:
            self._drop_all()
        self._version = change["version"]
        for name in (keys.INDEX, *change["buckets"], *map(_state_name, change["rules"])):
            self._mark_stale(name)
        self._publish(frozenset(change["rules"]))

    async def _check_version(self, *, anything_missed: bool) -> None:
        stored = await self._redis.get(keys.VERSION)
        if stored is None:  # Redis was emptied: the last known rules stay in force until sync publishes again
            return
        version = int(stored)
        # The message for one new version may still be on its way; a gap of more means that messages were missed.
        if anything_missed or self._version is None or version < self._version or version > self._version + 1:
            self._drop_all()
            self._version = version

    def _drop_all(self) -> None:
        self._generation += 1
        self._changes += 1
        self._publish(None)

    def _mark_stale(self, name: str) -> None:
        self._changes += 1
        self._reads.pop(name, None)  # a read in progress may bring a value from before this change
        entry = self._entries.get(name)
        if entry is not None:
            entry.generation = -1

    def _publish(self, changed: frozenset[str] | None) -> None:
        for listener in self._listeners:
            listener(changed)

    def _fresh(self, name: str) -> Any | None:  # noqa: ANN401 - the value of a key
        entry = self._entries.get(name)
        return entry.value if entry is not None and entry.generation == self._generation else None

    def _in_memory(self, names: Sequence[str]) -> dict[str, Any] | None:
        """The values of all these names, or None if one of them must be read."""
        found = {}
        for name in names:
            entry = self._entries.get(name)
            if entry is None or entry.generation != self._generation:
                return None
            found[name] = entry.value
        return found

    async def _values(self, names: Sequence[str]) -> Mapping[str, Any]:
        found = self._in_memory(names)
        if found is not None:
            return found
        missing = [name for name in names if not self._is_fresh(name)]
        unread = [name for name in missing if name not in self._reads]
        if unread:
            read = asyncio.create_task(self._read(unread))
            read.add_done_callback(_retrieve_error)
            self._reads.update(dict.fromkeys(unread, read))
        reads = {self._reads[name] for name in missing}
        held: dict[str, Entry | None] = {name: self._entries.get(name) for name in names}
        known_before = None not in held.values()
        # The reads are shared, so they go on if this caller is cancelled or reaches its deadline.
        await asyncio.wait(reads, timeout=self._fallback_after_s if known_before else self._deadline_s)
        failure: RulesUnavailable | None = None
        for read in reads:
            try:
                if read.done():
                    read.result()
                else:
                    failure = RulesUnavailable("The cache Redis does not answer in time.", "timeout")
            except RulesUnavailable as error:
                failure = error
        return {name: self._value(name, held[name], failure) for name in names}

    def _is_fresh(self, name: str) -> bool:
        entry = self._entries.get(name)
        return entry is not None and entry.generation == self._generation

    def _value(self, name: str, held: Entry | None, failure: RulesUnavailable | None) -> Any:  # noqa: ANN401
        entry = self._entries.get(name) or held
        if entry is None:
            raise failure or RulesUnavailable("The rules are not known.", "missing")
        return entry.value

    async def _read(self, names: Sequence[str]) -> None:
        generation = self._generation
        read = asyncio.current_task()
        try:
            version, values = await self._fetch(names)
            if self._version is None:
                self._version = version
            for name, value in zip(names, values, strict=True):
                # A change that was announced during the read makes the value stale at once.
                is_latest = self._reads.get(name) is read
                self._entries.put(name, Entry(value, generation if is_latest else -1))
        finally:
            for name in names:
                if self._reads.get(name) is read:
                    del self._reads[name]

    async def _fetch(self, names: Sequence[str]) -> tuple[int, list[Any]]:
        buckets = [name for name in names if name != keys.INDEX and not name.startswith(_STATE_PREFIX)]
        pipeline = self._redis.pipeline(transaction=True)  # a bucket and its digest as of one moment
        pipeline.get(keys.VERSION)
        pipeline.get(keys.EPOCH)
        pipeline.hmget(keys.BUCKETS, [keys.EPOCH_FIELD, *buckets])
        for name in names:
            if name == keys.INDEX:
                pipeline.hgetall(keys.INDEX)
            elif name.startswith(_STATE_PREFIX):
                pipeline.hmget(keys.STATE, [keys.EPOCH_FIELD, name.removeprefix(_STATE_PREFIX)])
            else:
                pipeline.get(name)
        try:
            version, epoch, digests, *values = await pipeline.execute()
        except (RedisError, OSError, TimeoutError) as error:
            timed_out = isinstance(error, RedisTimeoutError | TimeoutError)
            cause = "timeout" if timed_out else "unreachable"
            raise RulesUnavailable(f"The cache Redis does not answer: {error}", cause) from error
        if version is None:
            raise RulesUnavailable("The cache Redis holds no rules; sync will publish them again.", "missing")
        found = dict(zip(names, values, strict=True))
        lost = _lost(found, epoch, digests[0], dict(zip(buckets, digests[1:], strict=True)))
        if lost is not None:
            raise RulesUnavailable(f"The cache Redis has lost {lost}; sync will publish it again.", "missing")
        return int(version), [self._decode(name, value) for name, value in found.items()]

    def _decode(self, name: str, value: Any) -> Any:  # noqa: ANN401 - by the kind of key
        if name == keys.INDEX:
            return self._key_headers.usable(KeyIndex.parse(value))
        if name.startswith(_STATE_PREFIX):
            return None if value[1] is None else orjson.loads(value[1])["bucket"]
        return decode_bucket(value)


def _weight(of: tuple[Caller, HeaderValues], _: object) -> int:
    """The weight of what is known for header values: 1, and as much again for each 512 bytes of them."""
    return 1 + sum([len(value) for value in of[1] if value is not None]) // 512


def _retrieve_error(read: asyncio.Task[None]) -> None:
    """Keep asyncio from logging the error of a read for which nobody waits any more."""
    if not read.cancelled():
        read.exception()


def _lost(
    found: Mapping[str, Any], epoch: bytes | None, digests_epoch: bytes | None, digests: Mapping[str, bytes | None]
) -> str | None:
    """The key that must be there and is gone, if one is. Each hash holds the epoch in which sync has written it."""
    if epoch is not None and digests_epoch != epoch:
        return keys.BUCKETS
    for name, value in found.items():
        if name == keys.INDEX:
            if epoch is not None and value.get(keys.EPOCH_FIELD.encode()) != epoch:
                return name
        elif name.startswith(_STATE_PREFIX):
            if epoch is not None and value[0] != epoch:
                return keys.STATE
        elif value is None and digests[name] is not None:
            return name
    return None


_STATE_PREFIX = "state:"


def _state_name(rule_id: str) -> str:
    return _STATE_PREFIX + rule_id
