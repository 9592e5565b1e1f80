"""What is known of a build of the dashboard that is not there: it is under way, or it failed.

A build writes its state beside the built files and holds a lock while it works, so that whoever reads the state knows a
build that was killed from one that is under way.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

STATE_FILE = "build-state.json"
LOCK_FILE = "build-state.lock"


@dataclass(frozen=True, slots=True)
class BuildState:
    """`is_under_way`: a process works on the build. `error` is empty unless it failed. `log` is its log file."""

    is_under_way: bool
    error: str
    log: Path | None


def read_state(folder: Path) -> BuildState | None:
    """Return the state of the latest build beside `folder`; None where none is known, or where it was killed."""
    try:
        fields = json.loads((folder / STATE_FILE).read_text())
        error, log = str(fields["error"]), fields["log"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    is_under_way = _is_locked(folder / LOCK_FILE)
    return BuildState(is_under_way, error, None if log is None else Path(log)) if is_under_way or error else None


def write_state(folder: Path, error: str, log: Path | None) -> None:
    """Write the state of a build that is under way, or that ended with an error. Raises OSError."""
    text = json.dumps({"error": error, "log": None if log is None else str(log)})
    new = folder / f"{STATE_FILE}.{os.getpid()}"
    new.write_text(text)
    new.replace(folder / STATE_FILE)


def clear_state(folder: Path) -> None:
    """Forget the state of the latest build: it succeeded. Raises OSError."""
    (folder / STATE_FILE).unlink(missing_ok=True)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of builds while the body of the `with` statement runs. Waits for whoever holds it."""
    with (folder / LOCK_FILE).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _is_locked(file: Path) -> bool:
    try:
        with file.open() as opened:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
