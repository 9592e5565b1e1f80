"""Serving an application until the process is told to stop."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import uvicorn

from app.errors import PenstockError, StartupError
from app.http1.server.connection import Refused, ServerConnection, Serving
from app.http1.server.exchange import Application
from app.http1.server.limits import Limits
from app.process.lifecycle import Listen, Process, cancel
from app.process.timeouts import enforce_timeouts

BACKLOG = 2048
DRAIN_WITHIN_S = 10


def _uncounted(_: PenstockError) -> None:
    pass


async def serve(
    application: Application,
    process: Process,
    listen: Listen,
    refused: Refused = _uncounted,
) -> None:
    """Serve until `process.stop` is set, then finish the requests under way. Raises StartupError.

    uvicorn accepts and shuts down; the protocol is ours (app/http1). `refused` is told of what no rule decided.
    """
    serving = Serving(application, Limits.of(process.settings), refused)
    config = uvicorn.Config(
        cast(Any, application),  # it only keeps it
        http=cast(Any, lambda **_: ServerConnection(serving)),  # it only calls it
        lifespan="off",
        log_config=None,
        timeout_graceful_shutdown=DRAIN_WITHIN_S,
        backlog=BACKLOG,
    )
    server = _Server(config)
    server.server_state.connections = cast(Any, serving.connections)
    server.server_state.tasks = serving.tasks
    with _bound(listen) as bound:
        tasks = [asyncio.create_task(body) for body in (process.stop.wait(), enforce_timeouts(serving))]
        running = asyncio.create_task(server.serve(sockets=[bound]))
        await asyncio.wait({running, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        await running
        await cancel(tasks)


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves the signals to the process, which has handlers of its own."""
        yield


def _bound(listen: Listen) -> socket.socket:
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if listen.reuse_port:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        bound.bind((listen.host, listen.port))
    except OSError as error:
        bound.close()
        raise StartupError(f"cannot listen on {listen.host}:{listen.port}: {error.strerror}") from error
    bound.setblocking(False)
    return bound
