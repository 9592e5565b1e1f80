"""Serving an ASGI application until the process is told to stop."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.errors import StartupError
from app.process import Listen, Process

BACKLOG = 2048
DRAIN_WITHIN_S = 10


async def serve(app: Any, process: Process, listen: Listen) -> None:  # noqa: ANN401 - an ASGI application
    """Serve until `process.stop` is set, then finish the requests under way. Raises StartupError."""
    config = uvicorn.Config(
        app,
        http=_Http,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,  # an app server's answer has its own
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=DRAIN_WITHIN_S,
        backlog=BACKLOG,
    )
    server = _Server(config)
    with _bound(listen) as bound:
        serving = asyncio.create_task(server.serve(sockets=[bound]))
        stopped = asyncio.create_task(process.stop.wait())
        await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        await serving
        stopped.cancel()


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves the signals to the process, which has handlers of its own."""
        yield


class _Http(HttpToolsProtocol):
    """CONNECT names no path, which uvicorn takes for a broken request before the application can refuse it."""

    def on_headers_complete(self) -> None:
        if self.parser.get_method() == b"CONNECT":
            self.url = b"/"
        super().on_headers_complete()


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
