"""What is down on this machine, by the file in which `penstock up` describes its processes."""

import time
from pathlib import Path

import orjson


def trouble_of(name: str, down_since: float, problem: str) -> str:
    """A sentence about a process that has been down since a time (Unix seconds)."""
    return f"{name} has been down for {max(0.0, time.time() - down_since):.0f} s: {problem}"


def read_troubles(runtime_file: Path) -> list[str]:
    """A sentence about each process that is down; none if the file cannot be read."""
    try:
        processes = orjson.loads(runtime_file.read_bytes())["processes"]
        return [
            trouble_of(f"{process['role']}-{process['index']}", process["down_since"], process["problem"])
            for process in processes
            if process["down_since"] is not None
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return []
