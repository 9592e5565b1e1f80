"""Children of `penstock up`: started, watched, started again, ended."""

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from app.clients import http_client
from app.errors import StartupError
from app.local.runtime import Running

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 1.0
STEADY_AFTER_S = 10.0
READY_WITHIN_S = 90.0
LOOK_EVERY_S = 0.05


@dataclass(frozen=True, slots=True)
class Spec:
    """What to run, and where it will be."""

    role: str
    index: int
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int | None = None
    url: str | None = None
    ops_port: int | None = None
    health_path: str = "/healthz"
    """Below the loopback port of its own, or, without one, below its URL."""

    @property
    def name(self) -> str:
        """For logs and messages."""
        return f"{self.role}-{self.index}"

    @property
    def ops_url(self) -> str | None:
        """Where it serves its metrics and health."""
        return None if self.ops_port is None else f"http://127.0.0.1:{self.ops_port}"


@dataclass(slots=True)
class Child:
    """A supervised process."""

    spec: Spec
    process: asyncio.subprocess.Process | None = None
    starts: int = 0
    watch: "asyncio.Task[None] | None" = None


class Supervisor:
    """Keeps children running: one that ends is started again, soon, and without end."""

    def __init__(self, log_dir: Path, changed: Callable[[list[Running]], None]) -> None:
        self._log_dir = log_dir
        self._changed = changed
        self._children: list[Child] = []

    async def start(self, spec: Spec) -> Child:
        """Start one, and keep it running."""
        child = Child(spec)
        self._children.append(child)
        await self._spawn(child)
        child.watch = asyncio.create_task(self._keep(child))
        return child

    async def ready(self, *children: Child) -> None:
        """Wait until each says that it is; raises StartupError for one that ends before, with its last words."""
        async with http_client(timeout_s=2) as http:
            await asyncio.gather(*(self._ready(http, child) for child in children))

    def log_of(self, spec: Spec) -> Path:
        """Where a child writes."""
        return self._log_dir / f"{spec.name}.log"

    async def end(self, roles: frozenset[str] | None, within_s: float) -> None:
        """End the children of these roles (None: all that are left), by force what does not end in time."""
        ending = [child for child in self._children if roles is None or child.spec.role in roles]
        for child in ending:
            if child.watch is not None:
                child.watch.cancel()
        alive = [child.process for child in ending if child.process is not None and child.process.returncode is None]
        for process in alive:
            process.terminate()
        waits = [asyncio.create_task(process.wait()) for process in alive]
        if waits:
            _, late = await asyncio.wait(waits, timeout=within_s)
            for process in alive:
                if process.returncode is None:
                    process.kill()
            if late:
                await asyncio.wait(late)
        self._children = [child for child in self._children if child not in ending]
        self._announce()

    async def _keep(self, child: Child) -> None:
        pause_s = FIRST_PAUSE_S
        while child.process is not None:
            started_at_s = asyncio.get_running_loop().time()
            await child.process.wait()
            steady = asyncio.get_running_loop().time() - started_at_s >= STEADY_AFTER_S
            pause_s = FIRST_PAUSE_S if steady else min(LONGEST_PAUSE_S, 2 * pause_s)
            await asyncio.sleep(pause_s)
            await self._spawn(child)

    async def _spawn(self, child: Child) -> None:
        tether = (sys.executable, "-m", "app.local.tether", str(os.getpid()))
        with self.log_of(child.spec).open("ab") as log:
            child.process = await asyncio.create_subprocess_exec(
                *tether,
                *child.spec.command,
                env={**os.environ, **child.spec.environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in a terminal is ours to pass on, in order
            )
        child.starts += 1
        self._announce()

    def _announce(self) -> None:
        self._changed(
            [
                Running(
                    c.spec.role,
                    c.spec.index,
                    c.process.pid if c.process else None,
                    c.spec.port,
                    c.spec.url,
                    c.spec.ops_url,
                )
                for c in self._children
            ]
        )

    async def _ready(self, http: httpx.AsyncClient, child: Child) -> None:
        loop = asyncio.get_running_loop()
        until_s = loop.time() + READY_WITHIN_S
        while not await _is_healthy(http, child.spec):
            if child.starts > 1 or loop.time() > until_s:
                raise StartupError(f"{child.spec.name} does not start: {self._last_words(child.spec)}")
            await asyncio.sleep(LOOK_EVERY_S)

    def _last_words(self, spec: Spec) -> str:
        lines = self.log_of(spec).read_text(errors="replace").strip().splitlines()
        return f"{lines[-1] if lines else 'it said nothing'} (all of it in {self.log_of(spec)})"


async def _is_healthy(http: httpx.AsyncClient, spec: Spec) -> bool:
    base = spec.ops_url or spec.url
    if base is None:
        return True
    try:
        return (await http.get(base + spec.health_path)).is_success
    except httpx.HTTPError:
        return False
