"""`penstock admin` listens on loopback, unless it is told otherwise; over gRPC too, and a stop ends both."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from app.settings import Settings
from tests.support.ports import free_port
from tests.support.system import System, running
from tests.support.waiting import eventually

ANOTHER_ADDRESS = "127.0.0.2"
"""Of this machine, and not the one that is bound by default: reached only where all addresses are."""


@pytest.fixture
async def system(settings: Settings, tmp_path: Path) -> AsyncIterator[System]:
    async with running(settings, tmp_path, syncs=0, edges=0, workers=0) as system:
        yield system


async def answers(address: str, port: int) -> bool:
    try:
        async with aiohttp.ClientSession() as http, http.get(f"http://{address}:{port}/openapi.json") as response:
            return response.status == 200
    except aiohttp.ClientConnectionError:
        return False


async def is_serving(address: str, port: int) -> bool:
    """Whether the gRPC API of an admin process answers there, as its health service says."""
    async with grpc.aio.insecure_channel(f"{address}:{port}") as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = await health.Check(health_pb2.HealthCheckRequest(service="penstock.admin.v1.RuleService"))
        except grpc.aio.AioRpcError as error:
            assert error.code() is grpc.StatusCode.UNAVAILABLE
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def test_the_admin_api_is_reached_from_elsewhere_only_when_told_so(system: System) -> None:
    by_default, told, grpc_by_default, grpc_told = (free_port() for _ in range(4))
    parts = [
        system.spawn("admin", "--port", str(by_default), "--grpc-port", str(grpc_by_default)),
        system.spawn("admin", "--host", "0.0.0.0", "--port", str(told), "--grpc-port", str(grpc_told)),
    ]
    await system.ready(*parts)
    for reach, ports in ((answers, (by_default, told)), (is_serving, (grpc_by_default, grpc_told))):
        reached = await asyncio.gather(
            *(reach(address, port) for port in ports for address in ("127.0.0.1", ANOTHER_ADDRESS))
        )
        assert list(reached) == [True, False, True, True]
    for part in parts:
        part.end()
    assert [part.process.poll() for part in parts] == [0, 0]


async def test_a_grpc_port_that_is_taken_is_named(system: System) -> None:
    taken = free_port()
    with socket.create_server(("127.0.0.1", taken)):
        part = system.spawn("admin", "--port", str(free_port()), "--grpc-port", str(taken))
        await eventually(lambda: part.process.poll() is not None, 30, "it has ended")
    [log] = system.log_dir.glob("admin-*.log")
    assert f"cannot listen on 127.0.0.1:{taken} for gRPC" in log.read_text()
