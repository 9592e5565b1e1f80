"""The port on which every process serves its own `/metrics` and `/healthz`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from app.errors import MethodNotAllowed, NotFound, PenstockError, StartupError
from app.http1.server.connection import connection_factory
from app.http1.server.context import ServerContext
from app.http1.server.exchange import Application, Exchange
from app.http1.server.limits import ServerLimits
from app.process.timeouts import enforce_timeouts
from app.web.problems import Reply, json_reply

LIMITS = ServerLimits(
    connections=64,
    header_bytes=32 << 10,
    headers=100,
    body_bytes=64 << 10,
    header_s=10.0,
    stall_s=30.0,
    bytes_per_s=100,
    keep_alive_s=75.0,
)
METRICS_TYPE = CONTENT_TYPE_LATEST.encode()


@asynccontextmanager
async def serve_ops(registry: CollectorRegistry, ready: asyncio.Event, host: str, port: int) -> AsyncIterator[int]:
    """Serve `/metrics` and `/healthz` on `host` and yield the port, a free one for `port` 0. Raises StartupError."""
    context = ServerContext(ops_application(registry, ready), LIMITS, _ignore)
    try:
        server = await asyncio.get_running_loop().create_server(connection_factory(context), host, port)
    except OSError as error:
        raise StartupError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    timeouts = asyncio.create_task(enforce_timeouts(context))
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        timeouts.cancel()
        server.close()
        for connection in tuple(context.connections):
            connection.abort()


def ops_application(registry: CollectorRegistry, ready: asyncio.Event) -> Application:
    """Answer `/metrics` in Prometheus's text format, and `/healthz` with 200 once `ready` is set, 503 until then."""

    def application(exchange: Exchange) -> None:
        if exchange.head.path not in {b"/metrics", b"/healthz"}:
            raise NotFound("Only /metrics and /healthz are served here.")
        if exchange.head.method not in {"GET", "HEAD"}:
            raise MethodNotAllowed("Only GET and HEAD are allowed.", allow="GET, HEAD")
        exchange.reply(_metrics(registry) if exchange.head.path == b"/metrics" else _health(ready))

    return application


def _metrics(registry: CollectorRegistry) -> Reply:
    body = generate_latest(registry)
    return Reply(200, [(b"content-type", METRICS_TYPE), (b"content-length", str(len(body)).encode())], body)


def _health(ready: asyncio.Event) -> Reply:
    return json_reply(200, {"status": "ok"}) if ready.is_set() else json_reply(503, {"status": "starting"})


def _ignore(_: PenstockError) -> None:
    """Requests that were refused before they reached the application are not counted here."""
