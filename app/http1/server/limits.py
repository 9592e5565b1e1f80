"""What a client may take: connections, bytes and time."""

import resource
from dataclasses import dataclass

from app.settings import Settings

FILES_A_CONNECTION = 2
"""The client's, and the app server's."""
FILES_OF_OURS = 256


@dataclass(frozen=True, slots=True)
class Limits:
    """`body_bytes` 0: any number. A client whose body comes slower than `bytes_per_s`, or who takes an answer slower
    than that, is borne with for `stall_s`."""

    connections: int
    header_bytes: int
    headers: int
    body_bytes: int
    header_s: float
    stall_s: float
    bytes_per_s: int
    keep_alive_s: float

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        """As set, with no more connections than there can be open files."""
        room = (_open_files(settings.max_connections) - FILES_OF_OURS) // FILES_A_CONNECTION
        return cls(
            max(1, min(settings.max_connections, room)),
            settings.max_header_bytes,
            settings.max_headers,
            settings.max_body_bytes,
            settings.header_timeout_s,
            settings.stall_timeout_s,
            settings.min_bytes_per_s,
            settings.keep_alive_s,
        )


def _open_files(connections: int) -> int:
    """How many files this process may have open, raised as far as needed and allowed."""
    wanted = connections * FILES_A_CONNECTION + FILES_OF_OURS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
    return raised
