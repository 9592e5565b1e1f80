"""What every process has in common: settings, a stop signal, metrics and a loopback port to read them from."""

import asyncio
import gc
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvloop
from prometheus_client import CollectorRegistry

from app.process.ops_server import serve_ops
from app.process.telemetry import configure_logging
from app.settings import Settings

CANCEL_AGAIN_S = 0.1


@dataclass(frozen=True, slots=True)
class Listen:
    """Where an HTTP process listens; `reuse_port` lets several processes share the port (SO_REUSEPORT)."""

    host: str
    port: int
    reuse_port: bool = False


@dataclass(frozen=True, slots=True)
class Process:
    """One running process. Its body returns when `stop` is set; `/healthz` says ok once `ready` is set."""

    role: str
    settings: Settings
    registry: CollectorRegistry
    listen: Listen | None = None
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    ready: asyncio.Event = field(default_factory=asyncio.Event)


Body = Callable[[Process], Awaitable[None]]


@asynccontextmanager
async def alongside(process: Process, *bodies: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run these beside what is done inside; they are cancelled when that is over.

    One that fails ends the process with its error, rather than leaving it half alive: whoever supervises it starts it
    again.
    """

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            process.stop.set()

    tasks = [asyncio.create_task(body) for body in bodies]
    for task in tasks:
        task.add_done_callback(ended)
    try:
        yield
    finally:
        await cancel(tasks)
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome


async def until_one_ends(*bodies: Awaitable[object]) -> None:
    """Run these together until the first ends, and end the others; what it raised is raised."""
    tasks = [asyncio.ensure_future(body) for body in bodies]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()
    finally:
        await cancel(tasks)
        await asyncio.gather(*tasks, return_exceptions=True)


async def cancel(tasks: Iterable[asyncio.Future[Any]]) -> None:
    """Until all of these have ended.

    Once is not enough: before Python 3.12 `asyncio.wait_for`, and so redis-py with a time-out, swallows a cancellation
    that meets the end of what it waits for (https://github.com/python/cpython/issues/86296).
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN_S)


def run(role: str, body: Body, settings: Settings, *, listen: Listen | None = None, ops_port: int = 0) -> None:
    """Run a process to its end: until `body` returns, which it does soon after SIGTERM or SIGINT.

    `ops_port` is the loopback port of `/metrics` and `/healthz`; 0 takes a free one.
    """
    configure_logging(role, settings.log_level)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(role, body, settings, listen, ops_port))


async def _run(role: str, body: Body, settings: Settings, listen: Listen | None, ops_port: int) -> None:
    process = Process(role, settings, CollectorRegistry(auto_describe=True), listen)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, process.stop.set)
    async with serve_ops(process.registry, process.ready, ops_port):
        gc.collect()
        gc.freeze()  # what was loaded at the start stays: the collector need not walk it again and again
        await body(process)
