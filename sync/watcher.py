"""The sync worker: follows MongoDB's change stream, publishes what changed, and makes full copies at intervals."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from bson.raw_bson import RawBSONDocument
from prometheus_client import CollectorRegistry, Counter, Gauge
from pymongo.errors import OperationFailure, PyMongoError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random

from app.clients import MongoChangeStream, MongoDatabase, cache_redis, mongodb
from app.errors import Unavailable
from app.process.heartbeat import ProcessHeartbeat
from app.process.lifecycle import Process, alongside, until_one_ends
from app.rules.documents import EVENT_PIPELINE, RAW, DocumentKey, RuleDocument, read_document
from app.rules.key_headers import KeyHeaders
from app.rules.store import COLLECTION, RuleStore
from app.settings import Settings
from app.web.excerpt import one_line
from sync.archive import Archive
from sync.bulk_writes import batches
from sync.plan import RuleChange, revision_of
from sync.publisher import Publisher
from sync.reconcile import advanced_time, changes_now, copy_all
from sync.resume import ResumeToken, Token
from sync.schedules import Schedules, published_forms, time_of
from sync.temporary_values import TemporaryValues

log = structlog.get_logger()

STREAM_WAIT_MS = 250
MAX_EVENTS_AT_ONCE = 1000
MAX_CHANGES_LOGGED = 20
CACHE_CHECK_INTERVAL_S = 0.5
SCHEDULE_CHECK_INTERVAL_S = 0.25
SCHEDULED_AT_ONCE = 100
"""How many rules are read together when their schedules are due. Changes of the stream are published between."""
LOST_STREAM_CODES = frozenset({260, 280, 286, 10334})
"""InvalidResumeToken, ChangeStreamFatalError, ChangeStreamHistoryLost, and BSONObjectTooLarge: an event that MongoDB
cannot send, and behind which a stream never gets."""


class SyncMetrics:
    """The metrics of a sync worker."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.published = Counter("penstock_rules_published_total", "Rule changes published.", registry=registry)
        self.invalid = Counter("penstock_invalid_rules_total", "Invalid rule documents seen.", registry=registry)
        self.interruptions = Counter(
            "penstock_sync_interruptions_total", "Errors after which sync started again.", registry=registry
        )
        self.invalid_now = Gauge(
            "penstock_rules_invalid_now", "Invalid rule documents in the last full copy.", registry=registry
        )
        self.cache_may_evict = Gauge(
            "penstock_cache_may_evict",
            "1 if the cache Redis may evict rules and counters: its maxmemory-policy is not noeviction.",
            registry=registry,
        )
        self.copied_at = Gauge(
            "penstock_rules_copied_at_seconds", "Time of the last full copy, in Unix seconds.", registry=registry
        )


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """An event of the change stream and the resume token after it. `event` is None if none came for a while."""

    event: RawBSONDocument | None
    token: Token | None


StreamEvents = asyncio.Queue[StreamEvent]


class StreamLost(Exception):
    """The stream cannot be resumed. A new stream and a full copy are needed."""


class Watcher:
    """Keeps the cache Redis up to date. Several sync workers may run at once."""

    def __init__(self, database: MongoDatabase, publisher: Publisher, settings: Settings, metrics: SyncMetrics) -> None:
        self._database = database
        self._publisher = publisher
        self._key_headers = KeyHeaders(settings)
        self._resume = ResumeToken(database)
        self._full_interval_s = settings.sync_full_interval_s
        self._history_days = settings.history_days
        self._audit_days = settings.audit_days
        self._history_versions = settings.history_versions
        self._metrics = metrics
        self._schedules = Schedules()
        self._copied_at_s: float | None = None
        self._caught_up_at_s: float | None = None
        self._invalid_documents: int | None = None

    def report(self) -> dict[str, Any]:
        """Return for operators how far the cache is behind MongoDB, in seconds, and what the last full copy found.

        The stream answers several times a second even where nothing has changed, so the lag is how long ago everything
        that it had was published.
        """
        caught_up_at_s = self._caught_up_at_s
        lag_s = None if caught_up_at_s is None else round(time.monotonic() - caught_up_at_s, 3)
        invalid = self._invalid_documents
        return {"lag_s": lag_s} | ({} if invalid is None else {"invalid_documents": invalid})

    async def run(self, stop: asyncio.Event, ready: asyncio.Event) -> None:
        """Follow the stream until `stop` is set, and set `ready` once the cache is complete.

        After an error the stream is resumed where it stopped, or started anew with a full copy if that is lost.
        """
        async for trial in AsyncRetrying(
            retry=retry_if_exception_type((PyMongoError, Unavailable, StreamLost)),
            wait=wait_random(1, 2),
            before_sleep=self._report_interruption,
        ):
            with trial:
                try:
                    await self._follow(stop, ready)
                except StreamLost:
                    await self._resume.delete()
                    self._copied_at_s = None
                    raise

    async def _follow(self, stop: asyncio.Event, ready: asyncio.Event) -> None:
        """Follow one stream. It is opened before anything is copied, so that no change is missed between the two."""
        await RuleStore(self._database).setup(self._history_days, self._audit_days)
        token = await self._resume.load()
        documents = self._database.get_collection(COLLECTION, codec_options=RAW)
        stream = documents.watch(
            EVENT_PIPELINE, full_document="updateLookup", max_await_time_ms=STREAM_WAIT_MS, resume_after=token
        )
        recording = Archive(self._database, self._resume, self._history_versions)
        async with _opened(stream, token) as first, recording as archive:
            events, ended = StreamEvents(), asyncio.Event()
            events.put_nowait(first)
            reading = asyncio.create_task(_read_events(stream, events, ended))
            try:
                await until_one_ends(
                    stop.wait(),
                    asyncio.shield(reading),  # a cancelled read would continue while the stream is being closed
                    self._publish(events, archive),
                    self._keep_complete(archive, ready, copy_first=token is None),
                    archive.failed(),
                    self._publish_scheduled(archive),
                    TemporaryValues(self._database).run(),
                )
            finally:
                ended.set()
                await asyncio.wait({reading})
                if not reading.cancelled():
                    reading.exception()  # where another part has failed first, nobody else asks for it

    async def _publish(self, events: StreamEvents, archive: Archive) -> None:
        """Publish events in batches. A full copy may run at the same time, because revisions tell which is newer."""
        while True:
            batch = await _available(events)
            changes = [change for event in batch for change in self._changes(event.event)]
            if changes:
                await self._publish_in_force(changes)
                _log_changes(changes)
            await archive.add(changes, batch[-1].token)
            if events.empty():
                self._caught_up_at_s = time.monotonic()

    async def _publish_in_force(self, changes: Sequence[RuleChange]) -> int:
        """Publish what is in force of rules, and note when that changes. Return how many rules changed."""
        changed = await self._publisher.publish(await published_forms(changes))
        await self._schedules.note(changes)
        self._metrics.published.inc(changed)
        return changed

    async def _publish_scheduled(self, archive: Archive) -> None:
        """Publish rules anew when their schedules change what is in force. One that is gone is not due any more."""
        while True:
            for rule_ids in batches(await self._due(), SCHEDULED_AT_ONCE):
                changes = await changes_now(self._database, archive, rule_ids, self._key_headers.problem)
                changed = await self._publish_in_force([change for change in changes if change.rule is not None])
                await self._schedules.note([change for change in changes if change.rule is None])
                if changed:
                    log.info("schedules_published", rules=changed)
            await asyncio.sleep(SCHEDULE_CHECK_INTERVAL_S)

    async def _due(self) -> list[str]:
        """The rules that are due by both clocks: what is published is in force by MongoDB's, which costs a write."""
        due = self._schedules.due(datetime.now(UTC))
        return due and self._schedules.due(time_of(revision_of(await advanced_time(self._database))))

    async def _keep_complete(self, archive: Archive, ready: asyncio.Event, *, copy_first: bool) -> None:
        """Make a full copy at intervals and when the cache was emptied; at first, if changes may have been missed."""
        if copy_first:
            await self._copy(archive)
        while True:
            if self._copy_is_due() or not await self._is_whole():
                await self._copy(archive)
            ready.set()
            await asyncio.sleep(CACHE_CHECK_INTERVAL_S)

    async def _copy(self, archive: Archive) -> None:
        copied = await copy_all(
            self._database, self._publisher, archive, self._report_invalid, self._key_headers.problem, self._schedules
        )
        self._copied_at_s = time.monotonic()
        await self._check_eviction()
        self._metrics.invalid_now.set(copied.invalid)
        self._invalid_documents = copied.invalid
        self._metrics.published.inc(copied.changed)
        self._metrics.copied_at.set_to_current_time()
        log.info("rules_copied", rules=copied.rules, changed=copied.changed, invalid=copied.invalid)

    async def _is_whole(self) -> bool:
        """Return whether the cache has all rules, as far as can be seen at once; a page of them is compared."""
        return await self._publisher.is_complete() and await self._publisher.next_page_is_whole()

    async def _check_eviction(self) -> None:
        """Say it when the cache Redis may drop rules and counters, as often as full copies are made."""
        policy = await self._publisher.eviction_policy()
        self._metrics.cache_may_evict.set(policy != "noeviction")
        if policy != "noeviction":
            log.error("cache_may_evict", maxmemory_policy=policy, required="noeviction")

    def _copy_is_due(self) -> bool:
        return self._copied_at_s is None or time.monotonic() - self._copied_at_s >= self._full_interval_s

    def _changes(self, event: RawBSONDocument | None) -> list[RuleChange]:
        if event is None:
            return []
        if event["operationType"] not in {"insert", "update", "replace", "delete"}:
            raise StreamLost(f"The collection was dropped or renamed: {event['operationType']}.")
        revision, document = revision_of(event["clusterTime"]), read_document(event)
        if document is None:  # it has been deleted, now or since; only a rule's document ever published anything
            rule_id = DocumentKey(event["documentKey"].raw).rule_id
            return [] if rule_id is None else [RuleChange(rule_id, revision, None)]
        document = document.checked(self._key_headers.problem)
        if document.rule is None:
            self._report_invalid(document)
            return []
        return [RuleChange(document.rule.rule_id, revision, document.rule)]

    def _report_invalid(self, document: RuleDocument) -> None:
        """Count and log an invalid document. The last valid version of the rule stays in force."""
        self._metrics.invalid.inc()
        log.error("invalid_rule", rule_id=document.key.name, problem=document.problem)

    def _report_interruption(self, state: RetryCallState) -> None:
        self._metrics.interruptions.inc()
        error = state.outcome.exception() if state.outcome else None
        log.warning("sync_interrupted", error=one_line(error), attempt=state.attempt_number)


def _log_changes(changes: Sequence[RuleChange]) -> None:
    """One line for each change, up to MAX_CHANGES_LOGGED at once, and one for the others."""
    for change in changes[:MAX_CHANGES_LOGGED]:
        rule = change.rule
        log.info(
            "rule_changed" if rule else "rule_deleted",
            rule_id=change.rule_id,
            version=rule.version if rule else None,
            by=rule.updated_by if rule else None,
        )
    if len(changes) > MAX_CHANGES_LOGGED:
        log.info("rules_changed", more=len(changes) - MAX_CHANGES_LOGGED)


async def _read_events(stream: MongoChangeStream, events: StreamEvents, ended: asyncio.Event) -> None:
    """Read events as they come, so that reading never waits for publishing."""
    while not ended.is_set():
        events.put_nowait(await _next(stream))


@asynccontextmanager
async def _opened(stream: MongoChangeStream, token: Token | None) -> AsyncIterator[StreamEvent]:
    """Open the stream and yield its first event. Raises StreamLost if MongoDB refuses the token."""
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(stream)
            first = await _next(stream)
        except OperationFailure as error:
            if token is None:
                raise
            raise StreamLost(str(error)) from error
        yield first


async def _next(stream: MongoChangeStream) -> StreamEvent:
    """Return the next event. Raises StreamLost if the stream cannot be resumed."""
    try:
        event = await stream.try_next()
    except OperationFailure as error:
        if error.code in LOST_STREAM_CODES:
            raise StreamLost(str(error)) from error
        raise
    token = stream.resume_token
    return StreamEvent(event, None if token is None else dict(token))


async def _available(events: StreamEvents) -> list[StreamEvent]:
    """Wait for an event, and return it with those that came with it."""
    batch = [await events.get()]
    while not events.empty() and len(batch) < MAX_EVENTS_AT_ONCE:
        batch.append(events.get_nowait())
    return batch


async def run_sync(process: Process) -> None:
    """Run `penstock sync`: keep the cache Redis up to date until the process is told to stop."""
    settings = process.settings
    client, redis = mongodb(settings), cache_redis(settings)
    try:
        watcher = Watcher(client[settings.mongodb_database], Publisher(redis), settings, SyncMetrics(process.registry))
        heartbeat = ProcessHeartbeat(redis, "sync", watcher.report)
        async with alongside(process, watcher.run(process.stop, process.ready), heartbeat.run()):
            await process.stop.wait()
    finally:
        client.close()
        await redis.aclose()
