"""`runtime.json`, in which `penstock up` describes its running processes for other commands."""

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from app.errors import NotRunning
from app.process.troubles import trouble_of

FILE = "runtime.json"


@dataclass(frozen=True, slots=True)
class RunningProcess:
    """A process of the system. `url` is where it serves, `ops_url` where its metrics and health are.

    `down_since` (Unix seconds) and `problem` say that it has been down for a while, and the last line of its log.
    """

    role: str
    index: int
    pid: int | None
    port: int | None
    url: str | None
    ops_url: str | None
    down_since: float | None = None
    problem: str | None = None

    @property
    def name(self) -> str:
        """The name in messages and of the log file."""
        return f"{self.role}-{self.index}"

    @property
    def trouble(self) -> str | None:
        """A sentence about a process that is down; None for one that is not known to be."""
        return None if self.down_since is None else trouble_of(self.name, self.down_since, self.problem or "")


@dataclass(frozen=True, slots=True)
class RunningSystem:
    """The processes of the system. `pid` is that of the `penstock up` that supervises them."""

    pid: int
    processes: tuple[RunningProcess, ...]

    def url_of(self, role: str) -> str:
        """Return the URL of the first process with this role. Raises NotRunning."""
        for process in self.processes:
            if process.role == role and process.url is not None:
                return process.url
        raise NotRunning(f"no {role} is running")


def write_runtime(data_dir: Path, processes: Iterable[RunningProcess]) -> None:
    """Replace the file atomically. Only its owner can read it."""
    content = {"pid": os.getpid(), "processes": [asdict(process) for process in processes]}
    draft = data_dir / f"{FILE}.new"
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(orjson.dumps(content, option=orjson.OPT_INDENT_2))
    draft.replace(data_dir / FILE)


def remove_runtime(data_dir: Path) -> None:
    """Remove the file: nothing is running any more."""
    (data_dir / FILE).unlink(missing_ok=True)


def find_running(data_dir: Path) -> RunningSystem:
    """Return what runs in this data directory. Raises NotRunning if nothing does."""
    try:
        content = orjson.loads((data_dir / FILE).read_bytes())
        system = RunningSystem(content["pid"], tuple(RunningProcess(**process) for process in content["processes"]))
        alive = _is_alive(system.pid)
    except (OSError, ValueError, TypeError, LookupError, OverflowError):  # there is no such file, or another's
        alive = False
    if not alive:
        others = "or use --data-dir, --url or --profile"
        raise NotRunning(f"nothing is running in {data_dir}: start it with `penstock up`, {others}")
    return system


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
