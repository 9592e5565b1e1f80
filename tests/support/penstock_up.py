"""One `penstock up`, as its user starts it."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.support.ports import free_port
from tests.support.processes import start
from tests.support.system import PENSTOCK
from tests.support.waiting import wait_for

START_S, STOP_S = 120.0, 30.0
PATIENT = {
    "PENSTOCK_COUNTERS_TIMEOUT_MS": "2000",
    "PENSTOCK_RULES_TIMEOUT_MS": "20000",
    "PENSTOCK_CACHE_TIMEOUT_MS": "10000",
}
"""A busy machine is no store that is away."""


class Up:
    """One `penstock up`."""

    def __init__(self, data_dir: Path, *options: str, dashboard: bool = False) -> None:
        self.data_dir = data_dir
        self._tokens: dict[str, str] = {}
        self.port, self.admin_port = free_port(), free_port()
        self.output = data_dir.parent / f"{data_dir.name}.out"
        ports = ("--port", str(self.port), "--admin-port", str(self.admin_port))
        options = options if dashboard else ("--no-dashboard", *options)
        self.output.unlink(missing_ok=True)  # of an earlier one with the same data
        self.process = start([PENSTOCK, "up", *ports, "--data-dir", data_dir, *options], self.output, PATIENT)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait_ready(self) -> None:
        wait_for(lambda: "is ready" in self.said() or self.process.poll() is not None, START_S)
        assert "is ready" in self.said(), self.said()

    def said(self) -> str:
        return self.output.read_text()

    def runtime(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.data_dir / "runtime.json").read_text())
        return found

    def pids(self, role: str = "") -> list[int]:
        return [process["pid"] for process in self.runtime()["processes"] if process["role"].startswith(role)]

    def penstock(self, *arguments: str) -> str:
        return penstock(*arguments, "--data-dir", str(self.data_dir))

    def get(self, path: str, subject: str = "alice") -> httpx.Response:
        if subject not in self._tokens:  # a command takes a second
            self._tokens[subject] = self.penstock("token", subject).strip()
        return httpx.get(self.url + path, headers={"Authorization": f"Bearer {self._tokens[subject]}"}, timeout=10)


def penstock(*arguments: str) -> str:
    return subprocess.run([PENSTOCK, *arguments], check=True, capture_output=True, text=True).stdout


def alive(pids: list[int]) -> list[int]:
    """Those that run: a zombie has ended, whoever has yet to hear of it."""
    found = []
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state != "Z":
            found.append(pid)
    return found


@contextmanager
def running(data_dir: Path, *options: str, dashboard: bool = False) -> Iterator[Up]:
    up = Up(data_dir, *options, dashboard=dashboard)
    try:
        up.wait_ready()
        yield up
    finally:
        up.process.terminate()
        up.process.wait(STOP_S)
