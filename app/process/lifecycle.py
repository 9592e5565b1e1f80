"""Runs a process: its event loop, signals, background tasks, and the port for its metrics."""

import asyncio
import gc
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvloop
from prometheus_client import CollectorRegistry

from app.process.listen import Listen
from app.process.ops_server import serve_ops
from app.process.telemetry import configure_logging
from app.settings import Settings

CANCEL_INTERVAL_S = 0.1
"""How often tasks that have not ended are cancelled again."""


@dataclass(frozen=True, slots=True)
class Process:
    """One running process. Its body returns soon after `stop` is set; `/healthz` responds 200 once `ready` is set."""

    role: str
    settings: Settings
    registry: CollectorRegistry
    listen: Listen | None = None
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    ready: asyncio.Event = field(default_factory=asyncio.Event)


Body = Callable[[Process], Awaitable[None]]


@asynccontextmanager
async def alongside(process: Process, *bodies: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run coroutines in the background while the body of the `with` statement runs, then cancel them.

    If one of them fails, the process is told to stop, and the error is raised at the end: a supervisor can restart a
    process that has ended, but not one that only half works.
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
    """Run awaitables concurrently until the first one ends, then cancel the others. Raises the error of the first."""
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
    """Cancel tasks, and wait until all of them have ended.

    They are cancelled repeatedly, because before Python 3.12 `asyncio.wait_for`, and so redis-py with a timeout, loses
    a cancellation that arrives just as its inner task ends (https://github.com/python/cpython/issues/86296).
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_INTERVAL_S)


def run(role: str, body: Body, settings: Settings, *, listen: Listen | None = None, ops_port: int = 0) -> None:
    """Run a process until `body` returns, which it does soon after SIGTERM or SIGINT.

    `ops_port` is the port of `/metrics` and `/healthz` on `settings.ops_host`; with 0 the system chooses a free one.
    """
    configure_logging(role, settings.log_level)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(role, body, settings, listen, ops_port))


async def _run(role: str, body: Body, settings: Settings, listen: Listen | None, ops_port: int) -> None:
    process = Process(role, settings, CollectorRegistry(auto_describe=True), listen)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, process.stop.set)
    async with serve_ops(process.registry, process.ready, settings.ops_host, ops_port):
        gc.collect()
        gc.freeze()  # objects that live as long as the process need not be traversed by each garbage collection
        await body(process)
