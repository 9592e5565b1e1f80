"""Processes that tests start: their output goes to a file, and they end with the process of the tests."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Protocol

ROOT = Path(__file__).parents[2]
PR_SET_PDEATHSIG = 1
END_WITHIN_S = 30


class RunningProcess(Protocol):
    """What tests ask of a process: the methods of `subprocess.Popen`, which a forked one has too."""

    pid: int

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int) -> None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...


def start(
    command: Sequence[str | Path], log: Path, environment: Mapping[str, str] | None = None, *, outlives: bool = False
) -> subprocess.Popen[bytes]:
    """Start a command in the project's folder; `environment` comes on top of the tests' own.

    `outlives`: the process may outlive this one, and somebody else ends it.
    """
    _c_library()  # a new process of a program with threads should not load it
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | (environment or {}),
            stdout=output,
            stderr=output,
            preexec_fn=None if outlives else end_with_parent,  # noqa: PLW1509 - it makes one system call
        )


def end(*processes: RunningProcess) -> None:
    """Ask processes to end, and kill those that do not. A stopped process is continued first, so that it can."""
    running = [process for process in processes if process.poll() is None]
    for process in running:
        process.send_signal(signal.SIGCONT)
        process.terminate()
    for process in running:
        try:
            process.wait(END_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def end_with_parent() -> None:
    """Let Linux kill this process when the one that started it ends, such as when tests are interrupted (prctl(2))."""
    if sys.platform == "linux":
        _c_library().prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@cache
def _c_library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
