"""The cores on which processes run, and the CPU time that they have used (Linux)."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.errors import CannotRun


@dataclass(frozen=True)
class Cores:
    """One core for the server under test and the remaining cores for everything else."""

    server: frozenset[int]
    rest: frozenset[int]


def split(available: Iterable[int]) -> Cores:
    """Give the first core to the server. Raises CannotRun if there is only one."""
    first, *rest = sorted(available)
    if not rest:
        raise CannotRun("needs two cores: one for the server under test, one for the load generator and the rest")
    return Cores(frozenset({first}), frozenset(rest))


def pin(pid: int, cores: frozenset[int]) -> None:
    """Restrict a running process, its threads and its children to these cores, as `taskset -a` does."""
    for process in _with_children(pid):
        for task in Path(f"/proc/{process}/task").iterdir():
            os.sched_setaffinity(int(task.name), cores)


def cpu_s(pid: int) -> float:
    """The CPU time of a process and its children in seconds, in steps of the kernel's tick (10 ms)."""
    ticks = sum(ticks_in(Path(f"/proc/{process}/stat").read_text()) for process in _with_children(pid))
    return ticks / os.sysconf("SC_CLK_TCK")


def ticks_in(stat: str) -> int:
    """`utime` + `stime` of a /proc/PID/stat. The process name before them may contain spaces and brackets."""
    fields = stat.rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _with_children(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        children: list[str] = []
        with suppress(FileNotFoundError, ProcessLookupError):  # the thread has ended meanwhile
            children = (task / "children").read_text().split()
        for child in children:
            yield from _with_children(int(child))
