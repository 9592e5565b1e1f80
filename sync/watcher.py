"""A sync worker: follows MongoDB's change stream, copies everything from time to time, publishes what changed."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge
from pymongo.errors import OperationFailure, PyMongoError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random

from app.clients import MongoChangeStream, MongoDatabase, cache_redis, mongodb
from app.errors import InvalidRule, Unavailable
from app.process.lifecycle import Process, alongside, until_one_ends
from app.rules.model import Rule, parse_rule
from app.rules.store import COLLECTION, RuleStore
from app.settings import Settings
from sync.archive import Archive
from sync.plan import Change, revision_of
from sync.publisher import Publisher
from sync.reconcile import copy_all
from sync.resume import ResumeToken, Token

log = structlog.get_logger()

LONGEST_WAIT_MS = 250
MOST_AT_ONCE = 1000
CACHE_CHECK_S = 0.5
LOST_CODES = frozenset({260, 280, 286})
"""InvalidResumeToken, ChangeStreamFatalError, ChangeStreamHistoryLost."""


class SyncMetrics:
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


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event and the stream's token after it; no event: nothing came for a while."""

    event: Mapping[str, Any] | None
    token: Token | None


Arrivals = asyncio.Queue[Arrival]


class StreamLost(Exception):
    """The stream can't be resumed: a new one is needed, and a full copy."""


class Watcher:
    """One sync worker. Several may run at once."""

    def __init__(self, database: MongoDatabase, publisher: Publisher, settings: Settings, metrics: SyncMetrics) -> None:
        self._database = database
        self._publisher = publisher
        self._resume = ResumeToken(database)
        self._full_interval_s = settings.sync_full_interval_s
        self._metrics = metrics
        self._copied_at_s: float | None = None

    async def run(self, stop: asyncio.Event, ready: asyncio.Event) -> None:
        """Follow the stream until `stop` is set; after any trouble go on where it was, or, where that is lost, anew."""
        async for trial in AsyncRetrying(
            retry=retry_if_exception_type((PyMongoError, Unavailable, StreamLost)),
            wait=wait_random(1, 2),
            before_sleep=self._report,
        ):
            with trial:
                try:
                    await self._follow(stop, ready)
                except StreamLost:
                    await self._resume.forget()
                    self._copied_at_s = None
                    raise

    async def _follow(self, stop: asyncio.Event, ready: asyncio.Event) -> None:
        """The stream is opened before anything is copied, so that nothing falls between the two."""
        await RuleStore(self._database).setup()
        token = await self._resume.load()
        stream = self._database[COLLECTION].watch(
            full_document="updateLookup", max_await_time_ms=LONGEST_WAIT_MS, resume_after=token
        )
        async with _opened(stream, token) as first, Archive(self._database, self._resume) as archive:
            arrivals, ended = Arrivals(), asyncio.Event()
            arrivals.put_nowait(first)
            pump = asyncio.create_task(_pump(stream, arrivals, ended))
            try:
                await until_one_ends(
                    stop.wait(),
                    asyncio.shield(pump),  # a read that is cancelled would go on beside the closing of the stream
                    self._publish(arrivals, archive),
                    self._keep_complete(archive, ready, lost=token is None),
                    archive.failed(),
                )
            finally:
                ended.set()
                await asyncio.wait({pump})

    async def _publish(self, arrivals: Arrivals, archive: Archive) -> None:
        """What arrives together together; a copy may be under way, for revisions say which is the newer."""
        while True:
            arrived = await _arrived(arrivals)
            changes = [change for arrival in arrived for change in self._changes(arrival.event)]
            if changes:
                self._metrics.published.inc(await self._publisher.publish(changes))
            await archive.add(changes, arrived[-1].token)

    async def _keep_complete(self, archive: Archive, ready: asyncio.Event, *, lost: bool) -> None:
        """A copy where changes may have been lost, from time to time, and where the cache was emptied."""
        if lost:
            await self._copy(archive)
        while True:
            if self._copy_is_due() or not await self._publisher.is_complete():
                await self._copy(archive)
            ready.set()
            await asyncio.sleep(CACHE_CHECK_S)

    async def _copy(self, archive: Archive) -> None:
        copied = await copy_all(self._database, self._publisher, archive, self._refuse)
        self._copied_at_s = time.monotonic()
        self._metrics.invalid_now.set(copied.invalid)
        self._metrics.published.inc(copied.changed)
        self._metrics.copied_at.set_to_current_time()
        log.info("rules_copied", rules=copied.rules, changed=copied.changed, invalid=copied.invalid)

    def _copy_is_due(self) -> bool:
        return self._copied_at_s is None or time.monotonic() - self._copied_at_s >= self._full_interval_s

    def _changes(self, event: Mapping[str, Any] | None) -> list[Change]:
        if event is None:
            return []
        if event["operationType"] not in {"insert", "update", "replace", "delete"}:
            raise StreamLost(f"The collection is not what it was: {event['operationType']}.")
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


async def _pump(stream: MongoChangeStream, arrivals: Arrivals, ended: asyncio.Event) -> None:
    """Events as they come, so that none waits for the publishing of those before it."""
    while not ended.is_set():
        arrivals.put_nowait(await _next(stream))


@asynccontextmanager
async def _opened(stream: MongoChangeStream, token: Token | None) -> AsyncIterator[Arrival]:
    """Yields what came first. Raises StreamLost where the token is refused."""
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(stream)
            first = await _next(stream)
        except OperationFailure as error:
            if token is None:
                raise
            raise StreamLost(str(error)) from error
        yield first


async def _next(stream: MongoChangeStream) -> Arrival:
    """Raises StreamLost where it can't be resumed."""
    try:
        event = await stream.try_next()
    except OperationFailure as error:
        if error.code in LOST_CODES:
            raise StreamLost(str(error)) from error
        raise
    return Arrival(event, stream.resume_token)


async def _arrived(arrivals: Arrivals) -> list[Arrival]:
    found = [await arrivals.get()]
    while not arrivals.empty() and len(found) < MOST_AT_ONCE:
        found.append(arrivals.get_nowait())
    return found


async def run_sync(process: Process) -> None:
    """The body of `penstock sync`."""
    settings = process.settings
    client, redis = mongodb(settings), cache_redis(settings)
    try:
        watcher = Watcher(client[settings.mongodb_database], Publisher(redis), settings, SyncMetrics(process.registry))
        async with alongside(process, watcher.run(process.stop, process.ready)):
            await process.stop.wait()
    finally:
        client.close()
        await redis.aclose()
