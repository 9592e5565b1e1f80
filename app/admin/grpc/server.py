"""Serves the gRPC API until the process is told to stop."""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from app.admin.proto import admin_pb2
from app.errors import StartupError
from app.process.listen import Listen

MAX_MESSAGE_BYTES = 1 << 20
"""Of a request, as for the bodies of the REST API."""

MAX_CALLS_AT_ONCE = 256
MAX_CALLS_OF_A_CONNECTION = 64
MAX_CONNECTION_AGE_S = 300.0
"""How long a connection lasts; its client makes another one. So what watches the health, for which no token is needed,
or sends a request slowly, holds a place among all calls for so long at most.
"""

GRACEFUL_SHUTDOWN_S = 5.0

AddService = Callable[[grpc.aio.Server], Any]
"""Adds one service to the server, as the generated `add_…Servicer_to_server` do."""


async def serve_grpc(services: list[AddService], listen: Listen, stop: asyncio.Event) -> None:
    """Serve these services, health and reflection until `stop` is set, then finish the calls in progress.

    A call ends when its deadline passes or its client goes away. Raises StartupError.
    """
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.so_reuseport", 0),
            ("grpc.max_concurrent_streams", MAX_CALLS_OF_A_CONNECTION),
            ("grpc.max_connection_age_ms", int(MAX_CONNECTION_AGE_S * 1000)),
            ("grpc.max_connection_age_grace_ms", int(GRACEFUL_SHUTDOWN_S * 1000)),
        ],
        maximum_concurrent_rpcs=MAX_CALLS_AT_ONCE,
    )
    for add in services:
        add(server)
    names = [service.full_name for service in admin_pb2.DESCRIPTOR.services_by_name.values()]
    checks = health.aio.HealthServicer()
    for name in names:
        await checks.set(name, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    reflection.enable_server_reflection([*names, health.SERVICE_NAME, reflection.SERVICE_NAME], server)
    host = f"[{listen.host}]" if ":" in listen.host else listen.host
    try:
        server.add_insecure_port(f"{host}:{listen.port}")
    except RuntimeError as error:
        raise StartupError(f"cannot listen on {host}:{listen.port} for gRPC") from error
    await server.start()
    try:
        await stop.wait()
    finally:
        await checks.enter_graceful_shutdown()
        await server.stop(GRACEFUL_SHUTDOWN_S)
