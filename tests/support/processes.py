"""Processes that tests start: their output goes to a file, and they end with the process of the tests."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PR_SET_PDEATHSIG = 1
END_WITHIN_S = 30


def start(
    command: Sequence[str | Path], log: Path, environment: Mapping[str, str] | None = None, *, outlives: bool = False
) -> subprocess.Popen[bytes]:
    """Start a command in the project's folder; `environment` comes on top of the tests' own.

    `outlives`: the process may outlive this one, and somebody else ends it.
    """
    tie = None if outlives else _end_with_parent()
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | (environment or {}),
            stdout=output,
            stderr=output,
            preexec_fn=tie,  # noqa: PLW1509 - it makes one system call
        )


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask the process to end, and kill it if it does not. A stopped process is continued first, so that it can."""
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            process.wait(END_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@cache
def _end_with_parent() -> Callable[[], None] | None:
    """What a new process does so that Linux kills it when the tests are killed or interrupted (prctl(2))."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    return lambda: prctl(PR_SET_PDEATHSIG, signal.SIGKILL) and None
