"""Processes that are forked from one that has imported Penstock: each starts without the second that imports take.

What runs is the `main()` of the command, with arguments, environment and output of its own. Tests of `penstock up` and
of kills run the command itself.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from tests.support.processes import end_with_parent

PENSTOCK_MAIN = "app.cli"
PRELOADED = [
    PENSTOCK_MAIN,
    "app.main",
    "app.admin.process",
    "consumers.worker",
    "sync.watcher",
    "app.queue.kafka.queue",
    "consumers.kafka.run",
    "tests.support.app_server",
    "tests.support.preloaded",
]


class ForkedProcess:
    """A process with those methods of `subprocess.Popen` that tests use."""

    def __init__(self, process: ForkServerProcess) -> None:
        assert process.pid is not None
        self.pid = process.pid
        self._process = process

    def poll(self) -> int | None:
        """Return the exit code, or None while the process runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end of the process; raises subprocess.TimeoutExpired."""
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0.0)
        return code

    def send_signal(self, sig: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it ends, and only its exit code has not arrived yet
                os.kill(self.pid, sig)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def may_fork(changed: Mapping[str, str]) -> bool:
    """Whether a process with these changes of the environment can be forked.

    It can't where Python itself has to see them as it starts, or where coverage is measured.
    """
    return not any(name.startswith("PYTHON") for name in changed) and not any(
        name.startswith("COVERAGE_") for name in os.environ
    )


def fork(module: str, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> ForkedProcess:
    """Start the `main()` of a module with these arguments, in this environment and no other."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=_run, args=(module, list(arguments), str(log), dict(environment)))
    process.start()
    return ForkedProcess(process)


def _run(module: str, arguments: list[str], log: str, environment: dict[str, str]) -> None:
    end_with_parent()
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for standard in (1, 2):
        os.dup2(output, standard)
    os.close(output)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [module, *arguments]
    import_module(module).main()
