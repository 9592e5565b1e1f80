"""What `penstock up` checks before it starts anything: ports, addresses, limits, and its data directory."""

import errno
import fcntl
import os
import resource
import socket
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path

from app.errors import StartupError
from app.local.ports import HOST
from app.settings import load_settings

LOCK_FILE = "lock"
MIN_OPEN_FILES, WANTED_OPEN_FILES = 1024, 65_536
"""MongoDB and an edge with a few hundred clients each have that many files and connections open."""


def require_ports(port: int, admin_port: int, grpc_port: int = 0) -> None:
    """Raise StartupError unless all ports can be listened on. Without gRPC its port is 0."""
    ports = {"--port": port, "--admin-port": admin_port} | ({"--grpc-port": grpc_port} if grpc_port else {})
    for option, number in ports.items():
        if not 1 <= number <= 65_535:
            raise StartupError(f"{option} {number}: choose a port from 1 to 65535")
    for (one, number), (other, other_number) in combinations(ports.items(), 2):
        if number == other_number:
            raise StartupError(f"{one} and {other} are both {number}: they must differ")
    for number in ports.values():
        _require_free(number)


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise StartupError(f"port {port} cannot be used: {error.strerror}") from error


def require_upstreams(addresses: Iterable[str]) -> None:
    """Raise StartupError for what cannot be the address of an app server."""
    for address in addresses:
        try:
            found = load_settings(upstreams=address).upstreams
        except StartupError as error:
            reason = str(error).removeprefix("PENSTOCK_UPSTREAMS: ").removeprefix("Value error, ")
            raise StartupError(f"--upstream {address}: {reason}") from error
        if len(found) != 1:
            raise StartupError(f"--upstream {address}: give one address, and repeat the option for more")


def require_open_files() -> None:
    """Raise the limit of open files as far as is allowed. Raises StartupError if that is too low."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < WANTED_OPEN_FILES:
        soft = WANTED_OPEN_FILES if hard == resource.RLIM_INFINITY else min(WANTED_OPEN_FILES, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft != resource.RLIM_INFINITY and soft < MIN_OPEN_FILES:
        raise StartupError(f"only {soft} files may be open at once: raise the limit, `ulimit -n {MIN_OPEN_FILES}`")


@contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Make the data directory, its owner's alone, and lock it, so that only one `penstock up` uses it.

    Raises StartupError.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        _make_private(data_dir)
        lock = (data_dir / LOCK_FILE).open("a")
    except OSError as error:
        raise StartupError(f"the data directory {data_dir} cannot be used: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StartupError(f"the data directory {data_dir} is in use by another `penstock up`") from error
        yield


def _make_private(data_dir: Path) -> None:
    """Take the directory from everybody else: it holds logs, keys and requests. Raises StartupError, OSError.

    A directory that is not empty and that no `penstock up` has used may be somebody's home, and is left alone.
    """
    found = data_dir.stat()
    if found.st_uid != os.geteuid():
        raise StartupError(f"the data directory {data_dir} belongs to another user")
    if not stat.S_IMODE(found.st_mode) & 0o077:
        return
    if any(data_dir.iterdir()) and not (data_dir / LOCK_FILE).is_file():
        raise StartupError(
            f"the data directory {data_dir} is open to other users and holds other files: choose another one, "
            f"or close it, `chmod 700 {data_dir}`"
        )
    data_dir.chmod(0o700)


def make_folders(data_dir: Path, names: Iterable[str]) -> None:
    """Make folders in the data directory. Raises StartupError if there is a file in the place of one."""
    for name in names:
        try:
            (data_dir / name).mkdir(exist_ok=True)
        except OSError as error:
            reason = "it is no folder" if error.errno == errno.EEXIST else error.strerror
            raise StartupError(f"{data_dir / name} cannot be used: {reason}") from error
