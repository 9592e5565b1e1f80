"""A sync worker: follows MongoDB's change stream, copies everything from time to time, publishes what changed."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import structlog
from motor.motor_asyncio import AsyncIOMotorChangeStream, AsyncIOMotorDatabase
from prometheus_client import CollectorRegistry, Counter, Gauge
from pymongo.errors import PyMongoError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random

from app.clients import cache_redis, mongodb
from app.errors import InvalidRule, Unavailable
from app.process import Process, alongside
from app.rules.model import Rule, parse_rule
from app.rules.store import COLLECTION
from app.settings import Settings
from sync.plan import Change, revision_of
from sync.publisher import Publisher
from sync.reconcile import read_all

log = structlog.get_logger()

LONGEST_WAIT_MS = 250
MOST_AT_ONCE = 1000
CACHE_CHECK_S = 0.5


class Metrics:
    """What a sync worker counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.published = Counter("penstock_rules_published_total", "Rule changes published.", registry=registry)
        self.invalid = Counter("penstock_invalid_rules_total", "Rule documents that were refused.", registry=registry)
        self.interruptions = Counter(
            "penstock_sync_interruptions_total", "Starts over after trouble.", registry=registry
        )
        self.invalid_now = Gauge(
            "penstock_rules_invalid_now", "Invalid rule documents in the last full copy.", registry=registry
        )
        self.copied_at = Gauge(
            "penstock_rules_copied_at_seconds", "When the last full copy was made.", registry=registry
        )


class Watcher:
    """One sync worker. Several may run at once."""

    def __init__(
        self, database: "AsyncIOMotorDatabase[Any]", publisher: Publisher, settings: Settings, metrics: Metrics
    ) -> None:
        self._database = database
        self._publisher = publisher
        self._full_interval_s = settings.sync_full_interval_s
        self._metrics = metrics
        self._copied_at_s = 0.0
        self._checked_at_s = 0.0

    async def run(self, stop: asyncio.Event, ready: asyncio.Event) -> None:
        """New stream first, then a full copy, then the stream; after any trouble the same again."""
        async for trial in AsyncRetrying(
            retry=retry_if_exception_type((PyMongoError, Unavailable)),
            wait=wait_random(1, 2),
            before_sleep=self._report,
        ):
            with trial:
                await self._cycle(stop, ready)

    async def _cycle(self, stop: asyncio.Event, ready: asyncio.Event) -> None:
        rules = self._database[COLLECTION]
        async with rules.watch(full_document="updateLookup", max_await_time_ms=LONGEST_WAIT_MS) as stream:
            events: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue()
            _offer(events, await stream.try_next())  # opens the stream, before anything is copied
            ended = asyncio.Event()
            pump = asyncio.create_task(_pump(stream, events, ended))
            try:
                await self._copy()
                ready.set()
                while not stop.is_set():
                    await self._step(events, pump)
            finally:
                ended.set()
                await asyncio.wait({pump})

    async def _step(self, events: "asyncio.Queue[Mapping[str, Any]]", pump: "asyncio.Task[None]") -> None:
        """Publish what arrives together; nothing for a while: see whether the cache still holds the rules."""
        changes = [change for event in await _arrived(events) for change in self._changes(event)]
        if changes:
            self._metrics.published.inc(await self._publisher.publish(changes))
        if pump.done():
            pump.result()
        if time.monotonic() - self._checked_at_s >= CACHE_CHECK_S:
            self._checked_at_s = time.monotonic()
            if self._copy_is_old() or not await self._publisher.complete():
                await self._copy()

    async def _copy(self) -> None:
        snapshot = await read_all(self._database)
        self._copied_at_s = time.monotonic()
        for rule_id, problem in snapshot.invalid.items():
            self._refuse(rule_id, problem)
        self._metrics.invalid_now.set(len(snapshot.invalid))
        changed = await self._publisher.publish_all(snapshot.rules, frozenset(snapshot.invalid), snapshot.revision)
        self._metrics.published.inc(changed)
        self._metrics.copied_at.set_to_current_time()
        log.info("rules_copied", rules=len(snapshot.rules), changed=changed, invalid=len(snapshot.invalid))

    def _copy_is_old(self) -> bool:
        return time.monotonic() - self._copied_at_s >= self._full_interval_s

    def _changes(self, event: Mapping[str, Any]) -> list[Change]:
        if event["operationType"] not in {"insert", "update", "replace", "delete"}:
            raise Unavailable(f"The change stream ended: {event['operationType']}.")
        rule_id = str(event["documentKey"]["_id"])
        revision = revision_of(event["clusterTime"])
        document = event.get("fullDocument")
        if event["operationType"] == "delete" or document is None:  # an update of what has been deleted since
            return [Change(rule_id, revision, None)]
        rule = self._parse(rule_id, document)
        return [] if rule is None else [Change(rule_id, revision, rule)]

    def _parse(self, rule_id: str, document: Mapping[str, Any]) -> Rule | None:
        try:
            return parse_rule(dict(document))
        except InvalidRule as error:
            self._refuse(rule_id, str(error))
            return None

    def _refuse(self, rule_id: str, problem: str) -> None:
        """The last good version stays in force."""
        self._metrics.invalid.inc()
        log.error("invalid_rule", rule_id=rule_id, problem=problem)

    def _report(self, state: RetryCallState) -> None:
        self._metrics.interruptions.inc()
        error = state.outcome.exception() if state.outcome else None
        log.warning("sync_interrupted", error=str(error), attempt=state.attempt_number)


async def _pump(
    stream: "AsyncIOMotorChangeStream[Any]", events: "asyncio.Queue[Mapping[str, Any]]", ended: asyncio.Event
) -> None:
    """Events as they come, so that none waits for the publishing of those before it."""
    while not ended.is_set():
        _offer(events, await stream.try_next())


def _offer(events: "asyncio.Queue[Mapping[str, Any]]", event: Mapping[str, Any] | None) -> None:
    if event is not None:
        events.put_nowait(event)


async def _arrived(events: "asyncio.Queue[Mapping[str, Any]]") -> list[Mapping[str, Any]]:
    try:
        found = [await asyncio.wait_for(events.get(), LONGEST_WAIT_MS / 1000)]
    except TimeoutError:
        return []
    while not events.empty() and len(found) < MOST_AT_ONCE:
        found.append(events.get_nowait())
    return found


async def run_sync(process: Process) -> None:
    """The body of `penstock sync`."""
    settings = process.settings
    client, redis = mongodb(settings), cache_redis(settings)
    try:
        watcher = Watcher(client[settings.mongodb_database], Publisher(redis), settings, Metrics(process.registry))
        async with alongside(process, watcher.run(process.stop, process.ready)):
            await process.stop.wait()
    finally:
        client.close()
        await redis.aclose()
