"""The log files of child processes: their last lines, and how they are rotated."""

import os
import shutil
from pathlib import Path

from app.web.excerpt import excerpt

MAX_LOG_BYTES = 16 << 20
KEPT = 5
"""How many rotated files are kept, `.1` the newest."""

TAIL_BYTES = 64 << 10


def rotate(log: Path, max_bytes: int = MAX_LOG_BYTES) -> None:
    """Begin a new file once a log is longer than `max_bytes`. Raises OSError.

    The process that writes it keeps it open for appending, so the log is copied and emptied. Lines that are written in
    between, a few at most, are lost.
    """
    if log.stat().st_size <= max_bytes:
        return
    for number in range(KEPT - 1, 0, -1):
        rotated = log.with_name(f"{log.name}.{number}")
        if rotated.exists():
            rotated.replace(log.with_name(f"{log.name}.{number + 1}"))
    newest = log.with_name(f"{log.name}.1")
    try:
        shutil.copyfile(log, newest)
    except OSError:
        newest.unlink(missing_ok=True)  # half a copy, as when the disk is full
        raise
    finally:
        if log.stat().st_size > 2 * max_bytes or newest.exists():
            os.truncate(log, 0)


def tail(log: Path) -> list[str]:
    """The last lines of a log; none if it cannot be read."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()]


def last_line(log: Path) -> str:
    """The last line of a log, and where the log is."""
    lines = tail(log)
    return f"{excerpt(lines[-1].strip()) if lines else 'it wrote no log'} (the log is {log})"
