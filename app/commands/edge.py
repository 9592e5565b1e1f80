"""`penstock edge restart`: restarts edges of the installation on this machine, one after another."""

import json
import os
import signal
import time
from pathlib import Path

from app.errors import StartupError
from app.local.runtime import RunningProcess, RunningSystem, find_running

READY_TIMEOUT_S = 120.0
POLL_INTERVAL_S = 0.1


def restart_edges(data_dir: Path, index: int | None, *, as_json: bool = False) -> None:
    """Restart one edge, or all of them in turn: the next one only when the one before is ready. Raises StartupError."""
    edges = [process for process in find_running(data_dir).processes if process.role == "edge"]
    chosen = [edge for edge in edges if index is None or edge.index == index]
    if not chosen:
        known = ", ".join(str(edge.index) for edge in edges)
        raise StartupError(f"there is no edge {index}: running are {known or 'none'}")
    for edge in chosen:
        _restart(data_dir, edge)
        if not as_json:
            print(f"edge {edge.index}: restarted")
    if as_json:
        print(json.dumps({"restarted": [edge.index for edge in chosen]}))


def _restart(data_dir: Path, edge: RunningProcess) -> None:
    """Tell an edge to stop, and wait until the one that `penstock up` starts in its place is ready."""
    if edge.pid is not None:
        os.kill(edge.pid, signal.SIGTERM)
    until_s = time.monotonic() + READY_TIMEOUT_S
    while not _has_successor(find_running(data_dir), edge):
        if time.monotonic() > until_s:
            raise StartupError(f"edge {edge.index} is not ready again: see {data_dir}/logs/edge-{edge.index}.log")
        time.sleep(POLL_INTERVAL_S)


def _has_successor(system: RunningSystem, edge: RunningProcess) -> bool:
    import httpx

    for process in system.processes:
        if (process.role, process.index) == ("edge", edge.index) and process.pid not in {None, edge.pid}:
            try:
                return httpx.get(f"{process.ops_url}/healthz", trust_env=False).is_success
            except httpx.HTTPError:
                return False
    return False
