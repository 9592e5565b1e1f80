"""`runtime.json`: what runs on this machine, and where; kept true while it does."""

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from app.errors import StartupError

FILE = "runtime.json"


@dataclass(frozen=True, slots=True)
class Running:
    """One process of the installation."""

    role: str
    index: int
    pid: int | None
    port: int | None
    url: str | None
    ops_url: str | None


@dataclass(frozen=True, slots=True)
class Runtime:
    """All of them, and the `penstock up` above them."""

    pid: int
    processes: tuple[Running, ...]

    def url_of(self, role: str) -> str:
        """Where the first of a role answers; raises StartupError."""
        for process in self.processes:
            if process.role == role and process.url is not None:
                return process.url
        raise StartupError(f"no {role} runs here")


def write_runtime(data_dir: Path, processes: Iterable[Running]) -> None:
    """Replace the file at once: nobody reads half of it, nobody but its owner reads it at all."""
    content = {"pid": os.getpid(), "processes": [asdict(process) for process in processes]}
    draft = data_dir / f"{FILE}.new"
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(orjson.dumps(content, option=orjson.OPT_INDENT_2))
    draft.replace(data_dir / FILE)


def remove_runtime(data_dir: Path) -> None:
    """Nothing runs here any more."""
    (data_dir / FILE).unlink(missing_ok=True)


def find_running(data_dir: Path) -> Runtime:
    """What runs in this data directory; raises StartupError where nothing does."""
    try:
        content = orjson.loads((data_dir / FILE).read_bytes())
    except (OSError, ValueError):
        content = None
    if content is None or not _is_alive(content["pid"]):
        raise StartupError(f"nothing runs in {data_dir}: start it with `penstock up`, or say --data-dir")
    return Runtime(content["pid"], tuple(Running(**process) for process in content["processes"]))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
