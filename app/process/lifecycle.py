"""Runs a process: its event loop, signals, background tasks, and the port for its metrics."""

import asyncio
import gc
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import structlog
import uvloop
from prometheus_client import CollectorRegistry

from app.process.listen import Listen
from app.process.ops_server import serve_ops
from app.process.telemetry import configure_logging
from app.settings import Settings

log = structlog.get_logger()

CANCEL_INTERVAL_S = 0.1
"""How often tasks that have not ended are cancelled again."""


@dataclass(frozen=True, slots=True)
class Process:
    """One running process. Its body returns soon after `stop` is set; `/healthz` responds 200 once `ready` is set.

    `draining` is set when the process is told to stop, so that load balancers look for another one; until `stop` is set
    it serves as before.
    """

    role: str
    settings: Settings
    registry: CollectorRegistry
    listen: Listen | None = None
    grpc_listen: Listen | None = None
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    ready: asyncio.Event = field(default_factory=asyncio.Event)


STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
"""SIGHUP comes when the terminal is closed."""

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


def run(
    role: str,
    body: Body,
    settings: Settings,
    *,
    listen: Listen | None = None,
    grpc_listen: Listen | None = None,
    ops_port: int = 0,
    drain_s: float = 0.0,
) -> None:
    """Run a process until `body` returns, which it does soon after it was told to stop.

    STOP_SIGNALS tell it so: it drains for `drain_s` and stops; a second signal makes it stop at once.
    `ops_port` is the port of `/metrics` and `/healthz` on `settings.ops_host`; with 0 the system chooses a free one.
    """
    configure_logging(role, settings.log_level)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        process = Process(role, settings, CollectorRegistry(auto_describe=True), listen, grpc_listen)
        runner.run(_run(process, body, ops_port, drain_s))


async def _run(process: Process, body: Body, ops_port: int, drain_s: float) -> None:
    settings = process.settings
    for number in STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, drain_then_stop, process, drain_s)
    log.info("starting", version=version("penstock"))
    async with serve_ops(process.registry, process.ready, settings.ops_host, ops_port) as port:
        gc.collect()
        gc.freeze()  # objects that live as long as the process need not be traversed by each garbage collection
        async with alongside(process, _log_when_ready(process, port)):
            await body(process)
    log.info("stopped")


def drain_then_stop(process: Process, drain_s: float) -> None:
    """Tell a process to stop: the first call lets it drain, a second one during that time makes it stop at once."""
    if process.draining.is_set() or drain_s == 0:
        process.draining.set()
        _stop(process)
        return
    process.draining.set()
    log.info("draining", seconds=drain_s)
    asyncio.get_running_loop().call_later(drain_s, _stop, process)


def _stop(process: Process) -> None:
    if not process.stop.is_set():
        log.info("stopping")
        process.stop.set()


async def _log_when_ready(process: Process, ops_port: int) -> None:
    await process.ready.wait()
    log.info("ready", ops_port=ops_port)
