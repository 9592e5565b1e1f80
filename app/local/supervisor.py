"""Starts the child processes of `penstock up`, restarts those that end, and ends them in order."""

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from app.clients import http_client
from app.errors import StartupError
from app.local.runtime import RunningProcess

MIN_RESTART_DELAY_S, MAX_RESTART_DELAY_S = 0.1, 1.0
STABLE_AFTER_S = 10.0
"""A process that ran this long is restarted after the minimum delay."""
READY_TIMEOUT_S = 90.0
POLL_INTERVAL_S = 0.05


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """What to run, and where it will listen."""

    role: str
    index: int
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int | None = None
    url: str | None = None
    ops_port: int | None = None
    health_path: str = "/healthz"
    """A path on `ops_url`, or on `url` for a process without an ops port."""

    @property
    def name(self) -> str:
        """The name in messages and of the log file."""
        return f"{self.role}-{self.index}"

    @property
    def ops_url(self) -> str | None:
        """The URL of its metrics and health."""
        return None if self.ops_port is None else f"http://127.0.0.1:{self.ops_port}"


@dataclass(slots=True)
class SupervisedProcess:
    """A child process and how often it was started."""

    spec: ProcessSpec
    process: asyncio.subprocess.Process | None = None
    starts: int = 0
    watch: "asyncio.Task[None] | None" = None


class Supervisor:
    """Keeps processes running: a process that ends is restarted after a short delay, however often it ends."""

    def __init__(self, log_dir: Path, changed: Callable[[list[RunningProcess]], None]) -> None:
        self._log_dir = log_dir
        self._changed = changed
        self._children: list[SupervisedProcess] = []

    async def start(self, spec: ProcessSpec) -> SupervisedProcess:
        """Start a process and keep it running."""
        child = SupervisedProcess(spec)
        self._children.append(child)
        await self._spawn(child)
        child.watch = asyncio.create_task(self._keep(child))
        return child

    async def ready(self, *children: SupervisedProcess) -> None:
        """Wait until each process is healthy. Raises StartupError with the last line of its log if one ends before."""
        async with http_client(timeout_s=2) as http:
            await asyncio.gather(*(self._wait_healthy(http, child) for child in children))

    def log_of(self, spec: ProcessSpec) -> Path:
        """The log file of a process."""
        return self._log_dir / f"{spec.name}.log"

    async def end(self, roles: frozenset[str] | None, within_s: float) -> None:
        """End the processes with these roles, or all for None. Those that do not end within `within_s` are killed."""
        ending = [child for child in self._children if roles is None or child.spec.role in roles]
        for child in ending:
            if child.watch is not None:
                child.watch.cancel()
        alive = [child.process for child in ending if child.process is not None and child.process.returncode is None]
        for process in alive:
            process.terminate()
        waits = [asyncio.create_task(process.wait()) for process in alive]
        if waits:
            _, pending = await asyncio.wait(waits, timeout=within_s)
            for process in alive:
                if process.returncode is None:
                    process.kill()
            if pending:
                await asyncio.wait(pending)
        self._children = [child for child in self._children if child not in ending]
        self._report()

    async def _keep(self, child: SupervisedProcess) -> None:
        delay_s = MIN_RESTART_DELAY_S
        while child.process is not None:
            started_at_s = asyncio.get_running_loop().time()
            await child.process.wait()
            stable = asyncio.get_running_loop().time() - started_at_s >= STABLE_AFTER_S
            delay_s = MIN_RESTART_DELAY_S if stable else min(MAX_RESTART_DELAY_S, 2 * delay_s)
            await asyncio.sleep(delay_s)
            await self._spawn(child)

    async def _spawn(self, child: SupervisedProcess) -> None:
        tether = (sys.executable, "-m", "app.local.tether", str(os.getpid()))
        with self.log_of(child.spec).open("ab") as log:
            child.process = await asyncio.create_subprocess_exec(
                *tether,
                *child.spec.command,
                env={**os.environ, **child.spec.environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # so that Ctrl-C does not reach it: the supervisor ends processes in order
            )
        child.starts += 1
        self._report()

    def _report(self) -> None:
        self._changed(
            [
                RunningProcess(
                    role=child.spec.role,
                    index=child.spec.index,
                    pid=child.process.pid if child.process else None,
                    port=child.spec.port,
                    url=child.spec.url,
                    ops_url=child.spec.ops_url,
                )
                for child in self._children
            ]
        )

    async def _wait_healthy(self, http: httpx.AsyncClient, child: SupervisedProcess) -> None:
        loop = asyncio.get_running_loop()
        until_s = loop.time() + READY_TIMEOUT_S
        while not await _is_healthy(http, child.spec):
            if child.starts > 1 or loop.time() > until_s:
                raise StartupError(f"{child.spec.name} does not start: {self._last_log_line(child.spec)}")
            await asyncio.sleep(POLL_INTERVAL_S)

    def _last_log_line(self, spec: ProcessSpec) -> str:
        lines = self.log_of(spec).read_text(errors="replace").strip().splitlines()
        return f"{lines[-1] if lines else 'it wrote no log'} (the log is {self.log_of(spec)})"


async def _is_healthy(http: httpx.AsyncClient, spec: ProcessSpec) -> bool:
    base = spec.ops_url or spec.url
    if base is None:
        return True
    try:
        return (await http.get(base + spec.health_path)).is_success
    except httpx.HTTPError:
        return False
