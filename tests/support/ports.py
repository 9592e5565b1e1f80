"""Ports for the processes of tests: no two test processes on a machine are ever given the same one."""

import fcntl
import os
import tempfile
from functools import cache
from itertools import count, cycle
from pathlib import Path
from typing import IO

from app.local.ports import is_free

FIRST_PORT = 10_000
BLOCK_PORTS = 400
EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port() -> int:
    """Return a port that nobody listens on, and that is given to nobody else for a long time.

    A process may need seconds before it listens, and a killed one finds its port free when it is started again: the
    port is below those that the kernel gives to outgoing connections.
    """
    return next(_own_ports())


@cache
def _own_ports() -> "PortBlock":
    return PortBlock()


class PortBlock:
    """A range of ports that belongs to this process for as long as it lives: it holds the lock on the range's file."""

    def __init__(self) -> None:
        folder = Path(tempfile.gettempdir()) / f"penstock-test-ports-{os.getuid()}"
        folder.mkdir(exist_ok=True)
        self._first, self._lock = _first_free_block(folder)
        self._ports = cycle(range(self._first, self._first + BLOCK_PORTS))

    def __next__(self) -> int:
        for _ in range(BLOCK_PORTS):
            port = next(self._ports)
            if is_free(port):
                return port
        raise RuntimeError(f"no port is free from {self._first} to {self._first + BLOCK_PORTS - 1}")


def _first_free_block(folder: Path) -> tuple[int, IO[str]]:
    for first in count(FIRST_PORT, BLOCK_PORTS):
        if first + BLOCK_PORTS > _first_ephemeral_port():
            break
        lock = (folder / f"{first}.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
        else:
            return first, lock
    raise RuntimeError("every block of ports is in use by another test process")


def _first_ephemeral_port() -> int:
    return int(EPHEMERAL.read_text().split()[0]) if EPHEMERAL.exists() else 32_768
