"""Starts the child processes of `penstock up`, restarts those that end, says what is down, and ends them in order."""

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx

from app.clients import http_client
from app.errors import StartupError
from app.local.health import is_healthy
from app.local.log_files import last_line, rotate, tail
from app.local.process_spec import ProcessSpec
from app.local.runtime import RunningProcess

MIN_RESTART_DELAY_S, MAX_RESTART_DELAY_S = 0.1, 1.0
STABLE_AFTER_S = 10.0
"""A process that ran this long is restarted after the minimum delay."""
READY_TIMEOUT_S = 90.0
POLL_INTERVAL_S = 0.05
CHECK_INTERVAL_S = 1.0
SAID_AFTER_S = 5.0
"""How long a process may be down before that is said."""

STEADY_AFTER_S = 1.0
"""A process that has just been started is not taken for one that is back: it may end at once again."""

HURRIED_END_S = 2.0
"""How long processes have to end after a second signal."""

T = TypeVar("T")


@dataclass(slots=True)
class SupervisedProcess:
    """A child process and how often it was started. `down_since_s` is in Unix seconds; `said`: people were told."""

    spec: ProcessSpec
    process: asyncio.subprocess.Process | None = None
    starts: int = 0
    watch: "asyncio.Task[None] | None" = None
    started_at_s: float = 0.0
    down_since_s: float | None = None
    said: bool = False
    noticed_starts: int = 0
    start_error: str | None = None
    problem: str | None = None


class Supervisor:
    """Keeps processes running: a process that ends is restarted after a short delay, however often it ends.

    `changed` is called with the processes whenever one of them has started, ended, or is known to be down; where it
    raises an error it is called again later. `say` is called with each line that a person should read.
    """

    def __init__(
        self,
        log_dir: Path,
        changed: Callable[[list[RunningProcess]], None],
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._log_dir = log_dir
        self._changed = changed
        self._say = say
        self._children: list[SupervisedProcess] = []
        self._is_recorded = True
        self._rotates = True
        self._hurried_at_s: float | None = None
        self._checking: asyncio.Task[None] | None = None

    async def start(self, spec: ProcessSpec) -> SupervisedProcess:
        """Start a process and keep it running. Raises StartupError."""
        child = SupervisedProcess(spec)
        self._children.append(child)
        try:
            await self._spawn(child)
        except OSError as error:
            raise StartupError(f"{spec.name} cannot be started: {error.strerror or error}") from error
        child.watch = asyncio.create_task(self._keep(child))
        return child

    async def ready(self, *children: SupervisedProcess) -> None:
        """Wait until each process is healthy. Raises StartupError with the last line of its log if one ends before."""
        async with http_client(timeout_s=2) as http:
            await asyncio.gather(*(self._wait_healthy(http, child) for child in children))

    async def unless_it_ends(self, child: SupervisedProcess, waiting: Awaitable[T]) -> T:
        """Wait for something that needs a process. Raises StartupError at once if the process ends before."""
        task = asyncio.ensure_future(waiting)
        try:
            while not task.done():
                if child.starts > 1:
                    raise StartupError(f"{child.spec.name} does not start: {self.trouble_of(child.spec)}")
                await asyncio.wait({task}, timeout=POLL_INTERVAL_S)
            return task.result()
        finally:
            task.cancel()

    def say_what_is_down(self) -> None:
        """From now on check all processes, say which are down for more than SAID_AFTER_S, and rotate their logs."""
        self._checking = asyncio.create_task(self._check_forever())

    def log_of(self, spec: ProcessSpec) -> Path:
        """The log file of a process."""
        return self._log_dir / f"{spec.name}.log"

    def trouble_of(self, spec: ProcessSpec) -> str:
        """The last line of the log of a process, and what a person can do about it."""
        advised = spec.advice(tail(self.log_of(spec))) if spec.advice else ""
        return f"{last_line(self.log_of(spec))}{'; ' if advised else ''}{advised}"

    def hurry(self) -> None:
        """Let processes that are ending stop at once; those that do not are killed after HURRIED_END_S."""
        self._hurried_at_s = asyncio.get_running_loop().time()
        for child in self._children:
            if child.process is not None and child.process.returncode is None:
                child.process.terminate()

    async def end(self, roles: frozenset[str] | None, within_s: float) -> None:
        """End the processes with these roles, or all for None. Those that do not end within `within_s` are killed."""
        if self._checking is not None:
            self._checking.cancel()
        ending = [child for child in self._children if roles is None or child.spec.role in roles]
        for child in ending:
            if child.watch is not None:
                child.watch.cancel()
        alive = [child.process for child in ending if child.process is not None and child.process.returncode is None]
        for process in alive:
            process.terminate()
        await self._wait_ended(alive, within_s)
        self._children = [child for child in self._children if child not in ending]
        self._report()

    async def _wait_ended(self, processes: Sequence[asyncio.subprocess.Process], within_s: float) -> None:
        loop = asyncio.get_running_loop()
        until_s = loop.time() + within_s
        pending = {asyncio.create_task(process.wait()) for process in processes}
        while pending and loop.time() < until_s:
            _, pending = await asyncio.wait(pending, timeout=POLL_INTERVAL_S)
            if self._hurried_at_s is not None:
                until_s = min(until_s, self._hurried_at_s + HURRIED_END_S)
        for process in processes:
            if process.returncode is None:
                process.kill()
        if pending:
            await asyncio.wait(pending)

    async def _keep(self, child: SupervisedProcess) -> None:
        """Start a process again whenever it has ended. Nothing ends this but its cancellation."""
        delay_s = MIN_RESTART_DELAY_S
        while True:
            started_at_s = asyncio.get_running_loop().time()
            if child.process is not None:
                await child.process.wait()
            stable = asyncio.get_running_loop().time() - started_at_s >= STABLE_AFTER_S
            delay_s = MIN_RESTART_DELAY_S if stable else min(MAX_RESTART_DELAY_S, 2 * delay_s)
            await asyncio.sleep(delay_s)
            try:
                await self._spawn(child)
            except Exception as error:  # such as a full disk, on which no log can be begun
                child.process, child.start_error = None, f"it cannot be started: {error}"

    async def _spawn(self, child: SupervisedProcess) -> None:
        tether = (sys.executable, "-m", "app.local.tether", str(os.getpid()))
        with self.log_of(child.spec).open("ab") as log_file:
            child.process = await asyncio.create_subprocess_exec(
                *tether,
                *child.spec.command,
                env={**os.environ, **child.spec.environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log_file,
                stderr=log_file,
                start_new_session=True,  # so that Ctrl-C does not reach it: the supervisor ends processes in order
            )
        child.starts += 1
        child.started_at_s = time.time()
        child.start_error = None
        self._report()

    def _report(self) -> None:
        try:
            self._changed([_running(child) for child in self._children])
        except Exception as error:  # such as a full disk; whatever it is, the processes are kept running
            if self._is_recorded:
                self._say(f"the state of the processes cannot be written, and is tried again: {error}")
            self._is_recorded = False
            return
        if not self._is_recorded:
            self._say("the state of the processes is written again")
        self._is_recorded = True

    async def _check_forever(self) -> None:
        async with http_client(timeout_s=2) as http:
            while True:
                try:
                    await asyncio.gather(*(self._check(http, child) for child in tuple(self._children)))
                    await asyncio.to_thread(self._rotate_logs)
                    if not self._is_recorded:
                        self._report()
                except Exception as error:  # the checks go on, whatever one of them ran into
                    self._say(f"a check of the processes failed, and is tried again: {error!r}")
                await asyncio.sleep(CHECK_INTERVAL_S)

    async def _check(self, http: httpx.AsyncClient, child: SupervisedProcess) -> None:
        now_s, runs = time.time(), child.process is not None and child.process.returncode is None
        if runs and now_s - child.started_at_s > STEADY_AFTER_S and await is_healthy(http, child.spec):
            was_said, down_since_s = child.said, child.down_since_s
            child.said, child.down_since_s, child.problem = False, None, None
            if was_said and down_since_s is not None:
                self._report()  # before it is said: who reads that may look there
                self._say(f"{child.spec.name} is back after {now_s - down_since_s:.0f} s")
            self._say_notice(child)
        elif child.down_since_s is None:
            child.down_since_s = now_s
        elif not child.said and now_s - child.down_since_s > SAID_AFTER_S:
            child.said = True
            child.problem = child.start_error or self.trouble_of(child.spec)
            self._report()
            self._say(f"{child.spec.name} is down: {child.problem}")

    def _say_notice(self, child: SupervisedProcess) -> None:
        """Say once after each start what a person should know about it."""
        if child.spec.notice is None or child.noticed_starts == child.starts:
            return
        child.noticed_starts = child.starts
        if notice := child.spec.notice(tail(self.log_of(child.spec))):
            self._say(f"{child.spec.name}: {notice}")

    def _rotate_logs(self) -> None:
        for child in tuple(self._children):
            try:
                rotate(self.log_of(child.spec))
            except OSError as error:
                if self._rotates:
                    self._say(f"logs cannot be rotated: {error.strerror or error}")
                self._rotates = False
                return
        self._rotates = True

    async def _wait_healthy(self, http: httpx.AsyncClient, child: SupervisedProcess) -> None:
        loop = asyncio.get_running_loop()
        until_s = loop.time() + READY_TIMEOUT_S
        while not await is_healthy(http, child.spec):
            if child.starts > 1 or loop.time() > until_s:
                raise StartupError(f"{child.spec.name} does not start: {self.trouble_of(child.spec)}")
            await asyncio.sleep(POLL_INTERVAL_S)


def _running(child: SupervisedProcess) -> RunningProcess:
    return RunningProcess(
        role=child.spec.role,
        index=child.spec.index,
        pid=child.process.pid if child.process else None,
        port=child.spec.port,
        url=child.spec.public_url,
        ops_url=child.spec.ops_url,
        down_since=child.down_since_s if child.said else None,
        problem=child.problem if child.said else None,
    )
