"""Lua scripts: one loader, and calls that leave in one write when they become ready in one turn of the event loop."""

import asyncio
from collections.abc import Sequence
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, ResponseError

from app.errors import Unavailable

_NO_MORE_WRITES = ("OOM", "READONLY", "MISCONF", "NOREPLICAS", "MASTERDOWN", "CLUSTERDOWN")

Argument = str | bytes | int | float


@cache
def source(package: str, name: str) -> str:
    """The text of `<package>/lua/<name>.lua`, after the package's `_shared.lua`, where there is one."""
    folder = files(package) / "lua"
    shared = folder / "_shared.lua"
    text = (folder / f"{name}.lua").read_text(encoding="utf-8")
    return shared.read_text(encoding="utf-8") + text if shared.is_file() else text


class Scripts:
    """The scripts of one package on one Redis.

    A call that a caller gives up goes on by itself, so no later caller can read its answer. Connection trouble and
    time-outs raise `unavailable`; what a script itself rejects raises redis-py's ResponseError.
    """

    def __init__(self, redis: Redis, package: str, unavailable: type[Unavailable]) -> None:
        self._redis = redis
        self._package = package
        self._unavailable = unavailable
        self._sha: dict[str, str] = {}
        self._waiting: list[tuple[str, int, tuple[Argument, ...], asyncio.Future[Any]]] = []
        self._running: set[asyncio.Task[None]] = set()

    async def call(self, name: str, keys: Sequence[str], args: Sequence[Argument]) -> Any:  # noqa: ANN401 - a script's own
        """Run one script; everything called in this turn of the event loop goes out together."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._send_waiting)
        self._waiting.append((name, len(keys), (*keys, *args), answer))
        return await answer

    def _send_waiting(self) -> None:
        batch, self._waiting = self._waiting, []
        task = asyncio.get_running_loop().create_task(self._run(batch))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self, batch: list[tuple[str, int, tuple[Argument, ...], asyncio.Future[Any]]]) -> None:
        try:
            results = await self._execute(batch)
            missing = [call for call, result in zip(batch, results, strict=True) if isinstance(result, NoScriptError)]
            if missing:  # an unknown script did nothing: it is safe to load it and call again
                for name in {call[0] for call in missing}:
                    await self._redis.script_load(source(self._package, name))
                again = iter(await self._execute(missing))
                results = [next(again) if isinstance(result, NoScriptError) else result for result in results]
        except Exception as error:
            failure = self._unavailable(f"Redis: {error or type(error).__name__}")
            failure.__cause__ = error
            results = [failure] * len(batch)
        for (_, _, _, answer), result in zip(batch, results, strict=True):
            if not answer.done():
                self._resolve(answer, result)

    async def _execute(self, batch: list[tuple[str, int, tuple[Argument, ...], asyncio.Future[Any]]]) -> list[Any]:
        if len(batch) == 1:
            name, count, arguments, _ = batch[0]
            try:
                return [
                    await self._redis.execute_command(  # type: ignore[no-untyped-call]
                        "EVALSHA", self._digest(name), count, *arguments
                    )
                ]
            except ResponseError as error:
                return [error]
        pipeline = self._redis.pipeline(transaction=False)
        for name, count, arguments, _ in batch:
            pipeline.execute_command("EVALSHA", self._digest(name), count, *arguments)
        return await pipeline.execute(raise_on_error=False)

    def _digest(self, name: str) -> str:
        if name not in self._sha:
            self._sha[name] = sha1(source(self._package, name).encode(), usedforsecurity=False).hexdigest()
        return self._sha[name]

    def _resolve(self, answer: asyncio.Future[Any], result: object) -> None:
        if isinstance(result, ResponseError) and any(word in str(result) for word in _NO_MORE_WRITES):
            answer.set_exception(self._unavailable(f"Redis: {result}"))
        elif isinstance(result, BaseException):
            answer.set_exception(result)
        else:
            answer.set_result(result)
