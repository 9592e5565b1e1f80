"""What sync keeps in MongoDB of what it has published: good versions, history, and after them how far it came.

It is written behind the publishing, which nothing of this may hold up. What is not written when a sync worker ends, the
next one does again: the token is saved last.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Self

from app.clients import MongoDatabase
from app.process.lifecycle import cancel
from app.rules.model import Rule
from sync.history import History
from sync.last_good import LastGood
from sync.plan import Change
from sync.resume import ResumeToken, Token

MOST_WAITING = 400
"""Batches; a copy that is larger waits for what is written."""


@dataclass(frozen=True, slots=True)
class _Changes:
    changes: list[Change]
    token: Token | None


@dataclass(frozen=True, slots=True)
class _Copied:
    rules: list[Rule]
    revision: int


@dataclass(frozen=True, slots=True)
class _CopyEnded:
    rule_ids: set[str]
    revision: int


_Published = _Changes | _Copied | _CopyEnded


class Archive:
    """One for each opened stream; writes while it is entered. Leaving it gives up what is not written."""

    def __init__(self, database: MongoDatabase, resume: ResumeToken) -> None:
        self._good = LastGood(database)
        self._history = History(database)
        self._resume = resume
        self._waiting: asyncio.Queue[_Published] = asyncio.Queue(MOST_WAITING)

    async def __aenter__(self) -> Self:
        self._writing = asyncio.create_task(self._write_all())
        return self

    async def __aexit__(self, *exc: object) -> None:
        await cancel([self._writing])

    async def add(self, changes: list[Change], token: Token | None) -> None:
        """These are published, and with them everything up to the token."""
        await self._add(_Changes(changes, token))

    async def add_copied(self, rules: list[Rule], revision: int) -> None:
        """These of a full copy are published."""
        await self._add(_Copied(rules, revision))

    async def end_copy(self, rule_ids: set[str], revision: int) -> None:
        """No others are there."""
        await self._add(_CopyEnded(rule_ids, revision))

    async def failed(self) -> None:
        """Until writing fails. Raises pymongo's errors."""
        await asyncio.shield(self._writing)

    async def written(self) -> None:
        """Until all that was added is written. Raises pymongo's errors."""
        await self._while_writing(self._waiting.join())

    async def _add(self, published: _Published) -> None:
        await self._while_writing(self._waiting.put(published))

    async def _while_writing(self, waiting: Coroutine[Any, Any, None]) -> None:
        """Nobody waits for a writer that has failed."""
        task = asyncio.create_task(waiting)
        try:
            await asyncio.wait({task, self._writing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            task.cancel()
        if self._writing.done():
            self._writing.result()

    async def _write_all(self) -> None:
        while True:
            await self._write(await self._waiting.get())
            self._waiting.task_done()

    async def _write(self, published: _Published) -> None:
        match published:
            case _Changes(changes, token):
                await self._good.keep(changes)
                await self._history.record(changes)
                if token is not None:
                    await self._resume.keep(token, idle=not changes)
            case _Copied(rules, revision):
                await self._history.record(await self._good.keep_copied(rules, revision))
            case _CopyEnded(rule_ids, revision):
                await self._history.record(await self._good.drop_others(rule_ids, revision))
