"""Ports that `penstock up` gives its processes."""

import socket
from contextlib import suppress

from app.local.ports import FIRST_PORT, HOST, LAST_PORT, FreePorts


def test_no_port_is_given_twice_nor_one_that_is_taken() -> None:
    ports = FreePorts()
    first = ports.take()
    with socket.socket() as taken:
        following = first + 1 if first + 1 < LAST_PORT else FIRST_PORT
        with suppress(OSError):  # another process has it, so it is taken as well
            taken.bind((HOST, following))
        others = [ports.take() for _ in range(50)]
        assert following not in others
    assert first not in others
    assert len(set(others)) == 50
    assert all(FIRST_PORT <= port < LAST_PORT for port in (first, *others))
