"""The gRPC API in the test's own process, as one operator uses it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from app.admin.grpc.server import serve_grpc
from app.admin.grpc.services import grpc_services
from app.admin.proto import admin_pb2 as pb
from app.admin.proto import admin_pb2_grpc
from app.errors import Unavailable
from app.process.listen import Listen
from tests.support.admin_in_process import Admin
from tests.support.ports import free_port

SERVICES = pb.DESCRIPTOR.services_by_name
METHODS = [(method.name, method.input_type.name) for service in SERVICES.values() for method in service.methods]


class GrpcAdmin:
    """The gRPC API as operators call it."""

    def __init__(self, admin: Admin, channel: grpc.aio.Channel, address: str, unavailable: list[Unavailable]) -> None:
        self.admin, self.channel, self.unavailable = admin, channel, unavailable
        self._address = address

    async def __call__(self, method: str, request: Any, role: str | None = "admin", timeout_s: float = 10) -> Any:  # noqa: ANN401
        service = next(name for name, of in SERVICES.items() if method in of.methods_by_name)
        stub = getattr(admin_pb2_grpc, f"{service}Stub")(self.channel)
        metadata = () if role is None else (("authorization", f"Bearer {self.admin.token(role)}"),)
        return await getattr(stub, method)(request, metadata=metadata, timeout=timeout_s)

    async def fails(self, method: str, request: Any, role: str | None = "admin") -> grpc.aio.AioRpcError:  # noqa: ANN401
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await self(method, request, role)
        return failed.value

    @asynccontextmanager
    async def of_another_connection(self) -> AsyncIterator["GrpcAdmin"]:
        """The same API by a connection of its own."""
        async with _connected(self.admin, self._address, self.unavailable) as other:
            yield other


@asynccontextmanager
async def _connected(admin: Admin, address: str, unavailable: list[Unavailable]) -> AsyncIterator[GrpcAdmin]:
    async with grpc.aio.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        await asyncio.wait_for(channel.channel_ready(), 20)
        yield GrpcAdmin(admin, channel, address, unavailable)


@asynccontextmanager
async def grpc_running(admin: Admin) -> AsyncIterator[GrpcAdmin]:
    """Serve the gRPC API with the parts of an admin API."""
    port, stop, unavailable = free_port(), asyncio.Event(), list[Unavailable]()
    services = grpc_services(admin.parts, unavailable.append)
    serving = asyncio.create_task(serve_grpc(services, Listen("127.0.0.1", port), stop))
    async with _connected(admin, f"127.0.0.1:{port}", unavailable) as running:
        yield running
    stop.set()
    await serving
