"""Records in MongoDB what sync has published: last valid versions, history, and then the resume token.

Recording runs behind publishing and never delays it. What was not recorded when a sync worker ended is published and
recorded again by the next one, because the resume token is saved last.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Self

from app.clients import MongoDatabase
from app.process.lifecycle import cancel
from app.rules.model import Rule
from sync.bulk_writes import batches
from sync.history import History
from sync.last_good import LastGood
from sync.plan import RuleChange
from sync.resume import ResumeToken, Token

MAX_PENDING = 400
"""How many batches may wait to be recorded. A full copy that is larger waits for the recording."""


@dataclass(frozen=True, slots=True)
class _PublishedChanges:
    changes: list[RuleChange]
    token: Token | None


@dataclass(frozen=True, slots=True)
class _PublishedCopyBatch:
    rules: list[Rule]
    revision: int


@dataclass(frozen=True, slots=True)
class _PublishedCopyEnd:
    rule_ids: set[str]
    revision: int


_Published = _PublishedChanges | _PublishedCopyBatch | _PublishedCopyEnd


class Archive:
    """Records for one opened change stream, while it is entered. Leaving it drops what is not recorded yet."""

    def __init__(self, database: MongoDatabase, resume: ResumeToken, history_versions: int = 1000) -> None:
        self._last_good = LastGood(database)
        self._history = History(database, history_versions)
        self._resume = resume
        self._pending: asyncio.Queue[_Published] = asyncio.Queue(MAX_PENDING)

    async def __aenter__(self) -> Self:
        self._recording = asyncio.create_task(self._record_all())
        return self

    async def __aexit__(self, *exc: object) -> None:
        await cancel([self._recording])

    async def add(self, changes: list[RuleChange], token: Token | None) -> None:
        """Record changes that are published. With them everything up to the token is published."""
        await self._put(_PublishedChanges(changes, token))

    async def add_copied(self, rules: list[Rule], revision: int) -> None:
        """Record rules of a full copy that are published."""
        await self._put(_PublishedCopyBatch(rules, revision))

    async def end_copy(self, rule_ids: set[str], revision: int) -> None:
        """Record the end of a full copy that contained these rules and no others."""
        await self._put(_PublishedCopyEnd(rule_ids, revision))

    async def failed(self) -> None:
        """Wait until recording fails, and raise its error (one of pymongo's)."""
        await asyncio.shield(self._recording)

    async def recorded(self) -> None:
        """Wait until everything that was added is recorded. Raises pymongo's errors."""
        await self._wait_while_recording(self._pending.join())

    async def _put(self, published: _Published) -> None:
        await self._wait_while_recording(self._pending.put(published))

    async def _wait_while_recording(self, waiting: Coroutine[Any, Any, None]) -> None:
        """Wait for `waiting`, or raise the error of the recording if that fails first."""
        task = asyncio.create_task(waiting)
        try:
            await asyncio.wait({task, self._recording}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            task.cancel()
        if self._recording.done():
            self._recording.result()

    async def _record_all(self) -> None:
        while True:
            await self._record(await self._pending.get())
            self._pending.task_done()

    async def _record(self, published: _Published) -> None:
        match published:
            case _PublishedChanges(changes, token):
                await self._record_changes(changes)
                if token is not None:
                    await self._resume.save_at_intervals(token, idle=not changes)
            case _PublishedCopyBatch(rules, revision):
                await self._record_changes(await self._last_good.differing(rules, revision))
            case _PublishedCopyEnd(rule_ids, revision):
                await self._record_changes(await self._last_good.missing(rule_ids, revision))

    async def _record_changes(self, changes: list[RuleChange]) -> None:
        """Add new versions to the history, which may be repeated, and then record them, so that it need not be."""
        for batch in batches(changes):
            versions = await self._last_good.new_versions(batch)
            await self._history.record(versions)
            await self._last_good.store(versions)
