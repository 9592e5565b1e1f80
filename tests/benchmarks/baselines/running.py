"""Starts the baselines."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.errors import CannotRun, WrongAnswer
from tests.benchmarks.processes import pin
from tests.support.ports import free_port
from tests.support.processes import ROOT

HERE = Path(__file__).parent
UVICORN = ("-m", "uvicorn", "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning")


def own_python() -> str:
    """The Python of the baselines' environment, which scripts/bench makes. Raises CannotRun if there is none."""
    found = os.environ.get("PENSTOCK_BENCH_PYTHON")
    if found is None:
        raise CannotRun("start it as scripts/bench, which installs what is compared with")
    return found


@contextmanager
def nothing() -> Iterator[tuple[int, str]]:
    """Run uvicorn with an application that does nothing. Yields its process id and its URL."""
    with _uvicorn(sys.executable, "nothing:app", {}) as found:
        yield found


@contextmanager
def slowapi(redis_url: str) -> Iterator[tuple[int, str]]:
    """Run slowapi. Yields its process id and its URL."""
    with _uvicorn(own_python(), "slowapi_app:app", {"REDIS_URL": redis_url}) as found:
        yield found


@contextmanager
def _uvicorn(python: str, app: str, environment: dict[str, str]) -> Iterator[tuple[int, str]]:
    port = free_port()
    command = [python, *UVICORN, "--app-dir", str(HERE), "--port", str(port), app]
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | environment)
    try:
        yield process.pid, f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


async def arq(cores: frozenset[int], *arguments: str | int) -> dict[str, float]:
    """Run a command of arq_jobs.py on these cores. Returns what it measured. Raises WrongAnswer if it failed."""
    command = [own_python(), str(HERE / "arq_jobs.py"), *map(str, arguments)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    pin(process.pid, cores)
    output, _ = await process.communicate()
    if process.returncode:
        raise WrongAnswer(f"arq: {' '.join(command)} ended with {process.returncode}")
    measured: dict[str, float] = json.loads(output.splitlines()[-1])
    return measured
