"""Serves an application until the process is told to stop."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import uvicorn

from app.errors import PenstockError, StartupError
from app.http1.server.connection import ServerConnection
from app.http1.server.context import OnRefused, OwnHeaders, ServerContext
from app.http1.server.exchange import Application
from app.http1.server.limits import ServerLimits
from app.process.lifecycle import Process, cancel
from app.process.listen import Listen
from app.process.timeouts import enforce_timeouts

LISTEN_BACKLOG = 2048
GRACEFUL_SHUTDOWN_S = 10


def _ignore(_: PenstockError) -> None:
    pass


async def serve(
    application: Application,
    process: Process,
    listen: Listen,
    on_refused: OnRefused = _ignore,
    own_headers: OwnHeaders | None = None,
) -> None:
    """Serve until `process.stop` is set, then finish the requests in progress.

    uvicorn accepts connections and shuts down; the protocol is app/http1. Raises StartupError.
    """
    context = ServerContext(application, ServerLimits.from_settings(process.settings), on_refused, own_headers)
    config = uvicorn.Config(
        cast(Any, application),  # uvicorn stores it and never calls it
        http=cast(Any, lambda **_: ServerConnection(context)),  # uvicorn only calls it, for each connection
        lifespan="off",
        log_config=None,
        timeout_graceful_shutdown=GRACEFUL_SHUTDOWN_S,
        backlog=LISTEN_BACKLOG,
    )
    server = _Server(config)
    server.server_state.connections = cast(Any, context.connections)
    server.server_state.tasks = context.tasks
    with _bound(listen) as bound:
        tasks = [asyncio.create_task(body) for body in (process.stop.wait(), enforce_timeouts(context))]
        running = asyncio.create_task(server.serve(sockets=[bound]))
        await asyncio.wait({running, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        await running
        await cancel(tasks)
        for task in tasks:
            if not task.cancelled():
                task.result()  # a check that failed is the reason why the server stops


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the process, which has its own handlers."""
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
