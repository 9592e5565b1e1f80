"""Clients that have closed their side of a connection and may still wait for answers."""

import asyncio
import os
import select
import socket
from contextlib import suppress

PROBE_AFTER_S = 15
PROBE_INTERVAL_S = 15
PROBES = 4
"""TCP asks so often, at this interval, whether the client's machine still knows the connection. It forgets one whose
both sides are closed after a minute or so."""


def watch_for_reset(transport: asyncio.Transport) -> select.poll:
    """Let TCP look after a connection that is no longer read; the result polls whether it was reset or timed out."""
    file: int = transport.get_extra_info("socket").fileno()
    with suppress(OSError), socket.socket(fileno=os.dup(file)) as same:  # uvloop's own sockets have no options
        same.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        same.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, PROBE_AFTER_S)
        same.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, PROBE_INTERVAL_S)
        same.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, PROBES)
    reset = select.poll()
    reset.register(file, 0)  # errors are reported whatever is asked for
    return reset
