"""Ports for the processes of one machine that nobody has named."""

import random
import socket
from collections.abc import Iterator

HOST = "127.0.0.1"
FIRST_PORT, LAST_PORT = 20_000, 32_000
"""Below the ports that the kernel gives to outgoing connections, which may take one before its process listens."""


class FreePorts:
    """Gives out ports that nobody listens on, none of them twice."""

    def __init__(self) -> None:
        ports = range(FIRST_PORT, LAST_PORT)
        start = random.randrange(len(ports))
        self._ports: Iterator[int] = iter([*ports[start:], *ports[:start]])

    def take(self) -> int:
        """The next free port. Raises OSError if there is none."""
        for port in self._ports:
            if is_free(port):
                return port
        raise OSError(f"no port is free between {FIRST_PORT} and {LAST_PORT}")


def is_free(port: int) -> bool:
    """Whether nobody listens on a port of this machine now."""
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
