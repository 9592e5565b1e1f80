"""How much a client may use: connections, bytes and time."""

import resource
from dataclasses import dataclass

from app.settings import Settings

MAX_BUFFERED_BODY_BYTES = 64 << 10
"""Reading pauses while more than this of a body waits to be read by the application."""
PIPELINED_BEFORE_PAUSE = 8
"""Reading pauses while more than this many requests of one connection wait for their responses."""
MAX_PIPELINED = 128
"""A client that sends more requests than this at once is refused."""
MAX_DISCARDED_BYTES = 16 << 20
"""How much unwanted input is received to keep a connection, or to let its last response reach the client."""
SPARE_CONNECTIONS = 128
"""So many clients above the limit of connections get a response that says so; further ones get none."""

FILES_PER_CONNECTION = 3
"""One for the client and one for the app server, which an upload opens a second time."""
RESERVED_FILES = 256
"""Files that the process needs for everything else."""


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """The configured limits of one server; the units are in the names.

    `body_bytes` 0 allows bodies of any size. A client is disconnected when it sends a body, or receives a response,
    more slowly than `bytes_per_s` for `stall_s` seconds.
    """

    connections: int
    header_bytes: int
    headers: int
    body_bytes: int
    header_s: float
    stall_s: float
    bytes_per_s: int
    keep_alive_s: float

    @classmethod
    def from_settings(cls, settings: Settings) -> "ServerLimits":
        """The limits of these settings, with no more connections than the process may open files for."""
        by_files = (_open_files(settings.max_connections) - RESERVED_FILES) // FILES_PER_CONNECTION
        return cls(
            max(1, min(settings.max_connections, by_files)),
            settings.max_header_bytes,
            settings.max_headers,
            settings.max_body_bytes,
            settings.header_timeout_s,
            settings.stall_timeout_s,
            settings.min_bytes_per_s,
            settings.keep_alive_s,
        )


def _open_files(connections: int) -> int:
    """How many files this process may open. The soft limit is raised as far as needed and allowed."""
    needed = connections * FILES_PER_CONNECTION + RESERVED_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return needed
    raised = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
    return raised
